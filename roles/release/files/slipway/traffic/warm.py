"""The warm release: the one that was live before, kept running for a while so that a rollback is one rename.

A record in /run says which and until when; a transient timer stops it then. Both go with a reboot, as it does.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from slipway.clock import utc
from slipway.files import remove, write_atomically
from slipway.host import RELEASE_ID, Host
from slipway.turns.session import Session

# A rollback that has begun is not overtaken by the timer.
RESERVE_SECONDS = 300.0


@dataclass(frozen=True)
class Warm:
    """until: seconds since 1970."""

    release: str
    until: float

    @property
    def remaining(self) -> float:
        return self.until - time.time()


def read(host: Host) -> Warm | None:
    try:
        said = json.loads(host.warm.read_bytes())
        found = Warm(str(said["release"]), float(said["until"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return found if RELEASE_ID.fullmatch(found.release) else None


def until(host: Host, release: str) -> str | None:
    """When the release's warm time ends (UTC), None when it is not kept warm."""
    found = read(host)
    return utc(found.until) if found and found.release == release and found.remaining > 0 else None


def is_kept(session: Session, release: str) -> bool:
    """Whether the record and the timer for the release are both there, and its time is not over."""
    return until(session.host, release) is not None and release in session.systemd.timers()


def keep(session: Session, release: str, seconds: float) -> None:
    """Keeps the release warm from now on, and no other one."""
    forget(session)
    ends = round(time.time() + seconds, 3)
    content = json.dumps({"release": release, "until": ends})
    write_atomically(session.host.warm, content.encode() + b"\n")
    session.systemd.stop_later(release, seconds, f"--warm-until={ends}")


def hold(session: Session, release: str) -> None:
    """Gives a warm release that is about to be used again time enough for it."""
    found = read(session.host)
    if found and found.release == release and found.remaining < RESERVE_SECONDS:
        session.systemd.end_waiting_stop(release)
        keep(session, release, RESERVE_SECONDS)


def claim(session: Session, release: str) -> None:
    """Ends the warm time of a release that a rollout is about to use: whoever uses it puts it away, or keeps it."""
    found = read(session.host)
    if found and found.release == release:
        forget(session, release)


def is_over(host: Host, release: str, ends: float) -> bool:
    """Whether the warm time that ends then is the release's still: a timer that has fired may have waited long."""
    found = read(host)
    return found is not None and (found.release, found.until) == (release, ends)


def forget(session: Session, release: str | None = None) -> list[str]:
    """Ends the warm time of a release, or of all: record and timers. Returns the releases whose timers went."""
    found = read(session.host)
    if release is None or found is None or found.release == release:
        remove(session.host.warm)
    gone = [name for name in session.systemd.timers() if release in (None, name)]
    for name in gone:
        session.systemd.forget_timer(name)
    return gone


def describe(host: Host) -> dict[str, Any] | None:
    """What is kept warm, and until when, for who looks."""
    found = read(host)
    return {"release": found.release, "until": until(host, found.release)} if found else None
