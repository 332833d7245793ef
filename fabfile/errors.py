"""What goes wrong on the controller, in sentences."""

from __future__ import annotations


class BuildError(Exception):
    """A bundle cannot be built; the message says why, and what to type. Nothing was written."""
