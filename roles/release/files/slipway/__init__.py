"""slipway: the program that owns a host's releases, their pointer and their journal."""

__version__ = "1.0.0"
# Of the code, by whoever built the program (fabfile/programs/zipped.py).
DIGEST = ""
