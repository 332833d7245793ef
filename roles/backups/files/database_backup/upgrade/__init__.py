"""A cluster moves to another major, with a way back: logical replication one way, and after the switch the other."""
