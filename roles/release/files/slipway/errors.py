"""Errors as sentences, each with a stable code for programs and an exit code for shells."""

from __future__ import annotations

from typing import Any


class SlipwayError(Exception):
    """What failed, where, what state things are in and what to type.

    code: stable, for programs. message: sentences, for people. details: JSON-serialisable facts.
    """

    exit_code = 1

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


class StepError(SlipwayError):
    """A step failed; the traffic still goes where it went before."""

    exit_code = 3


class UnfinishedError(SlipwayError):
    """The release is live, but tidying up after the switch failed; the same command again finishes it."""

    exit_code = 6


class RefusedError(SlipwayError):
    """The input is not acceptable; nothing was changed, which the message says before the advice."""

    exit_code = 2

    def __init__(self, code: str, reason: str, advice: str = "", **details: Any) -> None:
        super().__init__(code, f"{reason} Nothing was changed. {advice}".rstrip(), **details)


class LockHeldError(RefusedError):
    """Another run holds this host's lock."""

    exit_code = 4


class NeedsRootError(RefusedError):
    """The caller is not root."""

    exit_code = 5


class LeaseHeldError(RefusedError):
    """Another deploy holds the environment's lease."""

    exit_code = 4


class FenceStaleError(RefusedError):
    """A newer deploy has taken over from the caller."""

    exit_code = 7
