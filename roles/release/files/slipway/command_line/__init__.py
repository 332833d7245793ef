"""What is typed: read, checked, called, and answered."""
