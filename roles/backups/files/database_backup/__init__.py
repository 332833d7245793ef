"""Dumps of the service's database, and proof that they can be restored; runs on the database host as `deploy`."""
