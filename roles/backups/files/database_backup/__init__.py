"""Dumps of the service's database, and proof that they can be restored; runs on its host as `slipway_backup`."""
