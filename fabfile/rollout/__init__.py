"""A release comes live on every app host, or none."""
