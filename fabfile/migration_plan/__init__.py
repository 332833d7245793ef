"""What a release's pending migrations would do to a database in use: locks, scans, findings, and what is in the way."""
