"""Whose turn it is at the hosts, what is done in it, and what is written down of it."""
