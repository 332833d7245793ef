"""A commit becomes one signed file."""
