"""The one error of host_files: a sentence for the operator."""

from __future__ import annotations


class HostFilesError(Exception):
    """What failed, on which path, and what state the host is in now."""
