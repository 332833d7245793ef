"""Accounts: who orders, and who may order for whom."""
