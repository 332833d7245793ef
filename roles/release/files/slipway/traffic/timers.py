"""The live release's timers: what it declares runs now and then, by `current`, as soon as it has the traffic."""

from __future__ import annotations

import os
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.files import fsync_directory, remove, replace_symlink, write_atomically
from slipway.host import Host
from slipway.releases import kept
from slipway.turns.session import Session

TIMER = """# Written by slipway: the live release of {app} declares this timer, and it goes with the last one that does.
# See systemd.timer(5). A host that was off makes up for what it missed.
[Unit]
Description={app}'s {name}, as its live release declares it

[Timer]
OnCalendar={calendar}
Persistent=true
"""


def unit_file(host: Host, name: str) -> Path:
    """Its service is an instance of the role app's, which runs by `current`."""
    return host.path(f"/etc/systemd/system/{host.app}-task@{name}.timer")


def _boot_link(host: Host, unit: str) -> Path:
    return host.path(f"/etc/systemd/system/timers.target.wants/{unit}")


def _wanted(session: Session, live: str | None) -> dict[Path, bytes]:
    """The unit files of the timers that the release declares."""
    found = kept.declaration(session.host, live).timers or {}
    return {
        unit_file(session.host, name): TIMER.format(
            app=session.host.app, name=name, calendar=timer.calendar
        ).encode()
        for name, timer in found.items()
    }


def names(session: Session) -> list[str]:
    """The timers on this host."""
    place = unit_file(session.host, "*")
    head, _, tail = place.name.partition("*")
    return sorted(path.name.removeprefix(head).removesuffix(tail) for path in place.parent.glob(place.name))


def is_followed(session: Session, live: str | None) -> bool:
    return not any(_difference(session, live))


def _difference(session: Session, live: str | None) -> tuple[list[Path], dict[Path, bytes]]:
    """(timers that are to go, those that are to be written and begun)."""
    host = session.host
    wanted = _wanted(session, live)
    place = unit_file(host, "*")
    linked = [place.with_name(path.name) for path in _boot_link(host, place.name).parent.glob(place.name)]
    going = sorted({*place.parent.glob(place.name), *linked} - wanted.keys())
    states = session.systemd.states(path.name for path in wanted)
    lacking = {
        path: content
        for path, content in wanted.items()
        if not states[path.name].running
        or not path.is_file()
        or path.read_bytes() != content
        or not os.path.lexists(_boot_link(host, path.name))
    }
    return going, lacking


def follow(session: Session, live: str | None) -> None:
    """The timers are those of live from now on. A task that runs is left to its end."""
    going, lacking = _difference(session, live)
    if not (going or lacking):
        return
    changed = sorted(path.name for path in [*going, *lacking])
    with session.journal.step("timers", live, changed=changed):
        # One that runs is right, so none runs with what its file no longer says.
        session.systemd.stop(*(path.name for path in [*going, *lacking] if path.exists()))
        for path in going:
            remove(_boot_link(session.host, path.name))
            remove(path)
        for path, content in lacking.items():
            write_atomically(path, content)
            link = _boot_link(session.host, path.name)
            link.parent.mkdir(parents=True, exist_ok=True)
            replace_symlink(link, str(Path("/etc/systemd/system") / path.name))
        fsync_directory(unit_file(session.host, "*").parent)
        session.systemd.read_units()
        for path in lacking:
            session.systemd.begin(path.name)


def put_right(session: Session, live: str | None) -> list[str]:
    """follow for a release that serves in any case: what failed, in sentences."""
    try:
        follow(session, live)
    except SlipwayError as failure:
        return [failure.message.partition("\n")[0]]
    return []
