"""Authentication: passwords, access tokens, refresh tokens."""
