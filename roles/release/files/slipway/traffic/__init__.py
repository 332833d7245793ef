"""Instances, and where requests go."""
