"""Programs for hosts, each one file."""
