"""The `fab` tasks, thin over plain functions of this package."""
