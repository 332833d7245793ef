"""How a hardened host is rated by others' programs, kept in docs/scores.md: a score that falls fails `make scores`."""
