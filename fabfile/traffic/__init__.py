"""What customers get, asked as a customer asks."""
