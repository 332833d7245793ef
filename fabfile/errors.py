"""What goes wrong on the controller, in sentences, each with the exit code of the `fab` command."""

from __future__ import annotations


class FabError(Exception):
    """What failed, where, what state things are in now, what to type. exit_code: what the shell sees."""

    exit_code = 1


class BuildError(FabError):
    """A bundle cannot be built; the message says why, and what to type. Nothing was written."""

    exit_code = 2


class RefusedError(FabError):
    """The wish cannot be fulfilled, and nothing was changed anywhere."""

    exit_code = 2


class FailedError(FabError):
    """A step failed, and what it did was taken back on every host."""

    exit_code = 3


class LockedError(FabError):
    """Another deploy holds the environment's lease; nothing was changed."""

    exit_code = 4


class UnfinishedError(FabError):
    """The hosts do not agree, or tidying up failed: `fab recover` finishes it."""

    exit_code = 6


class UntidyError(UnfinishedError):
    """The release is live on every host, and what is left to do is tidying up."""


class FencedError(FabError):
    """A newer deploy has taken over; this one stopped where it was."""

    exit_code = 7


class InterruptError(FabError):
    """Somebody pressed Ctrl-C, or the command was told to end; what was begun is ended in order."""

    exit_code = 3
