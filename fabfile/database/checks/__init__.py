"""What is read becomes findings."""
