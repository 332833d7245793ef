"""What the PostgreSQL modules share. Standard library only."""
