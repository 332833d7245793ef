"""The audit records of a rollout, the same on every host: who did what, and what clients felt."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fabfile.errors import FabError, FencedError, UntidyError
from fabfile.hosts.fleet import Fleet, performed
from fabfile.interruption import shielded
from fabfile.traffic.probe import Probe
from fabfile.turn.lease import Lease

LONGEST = 2000
# The result of a rollout whose release came live everywhere; only tidying up failed.
UNTIDY = "untidy"


def words(kind: str, release: str, **details: Any) -> list[str]:
    """The command that records an event; kind is for example deploy.begin."""
    shortened = {
        name: value[:LONGEST] if isinstance(value, str) else value for name, value in details.items()
    }
    return ["record", kind, f"--release={release}", f"--details={json.dumps(shortened)}"]


def everywhere(fleet: Fleet, lease: Lease, kind: str, release: str, **details: Any) -> None:
    """Record an event on every host; from then on each refuses whoever held the lease before."""
    command = [*words(kind, release, **details), *lease.words]
    fleet.each(lambda remote: performed(remote, command))


@contextmanager
def around(
    fleet: Fleet, lease: Lease, kind: str, release: str, probe: Probe, announce: bool = True, **details: Any
) -> Iterator[Callable[[], list[str]]]:
    """Record the beginning on every host and, when the block fails, how it ended.

    Yields what makes the command for a good end, so that it goes with the last change in one round trip.
    details: previous is recorded at its end, too: what the hosts agreed on, should it have been taken back.
    announce: False when the beginning is recorded with the first change, in its round trip.
    """
    if announce:
        everywhere(fleet, lease, f"{kind}.begin", release, **details)
    try:
        yield lambda: words(f"{kind}.end", release, result="ok", **probe.seen.as_record())
    except BaseException as failure:
        with shielded():
            told = {"previous": details.get("previous"), **probe.seen.as_record()}
            _failed(fleet, lease, f"{kind}.end", release, failure, **told)
        raise


def _failed(
    fleet: Fleet, lease: Lease, kind: str, release: str, failure: BaseException, **details: Any
) -> None:
    if isinstance(failure, FencedError):
        # The hosts refuse it; how it ended is in the newer deploy's hands.
        return
    error = str(failure) or type(failure).__name__
    result = UNTIDY if isinstance(failure, UntidyError) else "failed"
    command = [*words(kind, release, result=result, error=error, **details), *lease.words]
    outcomes = fleet.attempt(lambda remote: performed(remote, command))
    for name, value in outcomes.items():
        if isinstance(value, FabError):
            print(f"How it ended was not recorded on {name}: {value}", file=sys.stderr)
