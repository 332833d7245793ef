"""Orders: what an account bought."""
