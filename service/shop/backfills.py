"""The backfills of this release, by name; a domain declares its own and is named here."""

from slipway_migrator import Backfill

DECLARED: dict[str, Backfill] = {}
