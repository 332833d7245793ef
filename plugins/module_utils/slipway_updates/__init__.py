"""What waits for a patch on a host, how it is installed, and who has to be started anew for it."""
