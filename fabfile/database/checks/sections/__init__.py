"""The subjects of a look at a database: each module has CHECKS, pure functions from typed rows to findings."""
