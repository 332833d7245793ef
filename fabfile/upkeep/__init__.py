"""What is looked at and closed outside a rollout."""
