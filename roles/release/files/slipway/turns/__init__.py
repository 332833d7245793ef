"""One change at a time, by whose turn it is."""
