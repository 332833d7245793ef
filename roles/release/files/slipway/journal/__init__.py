"""All that was done, in a chain of hashes."""
