"""What happened to the server itself: a crash, and a standby that became the primary."""

from __future__ import annotations

from dataclasses import dataclass

from fabfile.database import units
from fabfile.database.checks.judging import About, Check, Judged, measured, stated
from fabfile.database.findings import Level

# The workers start with the server, within moments.
LEAST_APART = 30
# A cluster starts for the first time soon after it was made.
FIRST_START = 120


@dataclass(frozen=True)
class Processes:
    """after: seconds from the server's start to its workers'. seconds: since the workers' start. up: since its own.

    created_before: seconds from the cluster's creation to the server's start. recovered: whether that start began
    with statistics dropped, as after a crash and at the very first.
    """

    after: float
    seconds: float
    up: float
    created_before: float
    recovered: bool


@dataclass(frozen=True)
class Timeline:
    """number: 1 until a standby became the primary. seconds: since that, None when there was none."""

    number: int
    seconds: float | None


def crash(about: About, found: list[Processes]) -> Judged:
    """A session that crashed takes all others with it; a server that crashed recovers when it starts."""
    one = found[0]
    if one.after >= LEAST_APART:
        said = f"A session crashed {units.duration(one.seconds)} ago, and every other was ended with it"
        command = "journalctl -u postgresql@* --grep 'terminated by signal'"
        yield measured(about, "restart", one.seconds, said, command)
    elif one.recovered and one.created_before >= FIRST_START:
        said = (
            f"The server started {units.duration(one.up)} ago and had to recover: before that it was killed, lost its "
            "power, or came from a backup"
        )
        yield measured(about, "restart", one.up, said, "journalctl -u postgresql@* --since -2h")
    else:
        said = f"The server runs for {units.duration(one.up)}; neither it nor a session has crashed since."
        yield stated(about, "restart", Level.OK, said)


def promotion(about: About, found: list[Timeline]) -> Judged:
    """Whoever writes to the server that was the primary before writes where nobody reads."""
    one = found[0]
    if one.seconds is None:
        yield stated(about, "timeline", Level.OK, "No standby ever became the primary here: timeline 1.")
        return
    said = f"A standby became the primary {units.duration(one.seconds)} ago: timeline {one.number}"
    yield measured(about, "timeline", one.seconds, said, "fab db-status --section replication")


CHECKS = (
    Check("restart", (("processes", Processes),), crash),
    Check("timeline", (("timeline", Timeline),), promotion),
)
