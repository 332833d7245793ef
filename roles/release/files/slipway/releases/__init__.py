"""A bundle becomes a release; whose it is; what is kept."""
