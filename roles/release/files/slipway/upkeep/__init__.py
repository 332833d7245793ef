"""What is there, what was done, and what is made good."""
