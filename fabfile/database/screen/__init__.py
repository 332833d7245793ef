"""Findings and tables as text, a page, or JSON."""
