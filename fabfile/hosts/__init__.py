"""The hosts of an environment: which they are, how each is reached, what it serves."""
