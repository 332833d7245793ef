"""Reading a database and its host, over SSH."""
