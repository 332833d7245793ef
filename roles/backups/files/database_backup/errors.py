"""Errors as sentences, each with the exit code that a shell sees."""

from __future__ import annotations


class BackupError(Exception):
    """What failed, what state things are in now, what to type."""

    exit_code = 1


class RefusedError(BackupError):
    """The wish cannot be fulfilled; nothing was changed."""

    exit_code = 2


class FailedError(BackupError):
    """A step failed; the message says what is left."""

    exit_code = 3


class LockHeldError(RefusedError):
    """Another run does the same."""

    exit_code = 4
