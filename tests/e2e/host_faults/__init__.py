"""Faults that are made on booted hosts, what must hold meanwhile, and the page that says what was measured."""
