"""A bundle becomes an image."""
