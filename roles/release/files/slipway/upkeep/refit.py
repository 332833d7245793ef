"""`slipway refit`: releases that another slipway staged get what this one starts them by."""

from __future__ import annotations

from slipway.host import Host
from slipway.releases import kept, starting
from slipway.turns.session import Report, Session


def look(session: Session) -> Report:
    """What a refit would change, without the lock and without changing it."""
    found = lacking(session.host)
    said = f"{', '.join(found)} would get its {starting.NAME}" if found else "No release lacks anything"
    return Report(bool(found), {"releases": found}, f"{said}; nothing was changed.")


def refit(session: Session) -> Report:
    """Each file takes its place in one rename, and is read when its unit starts next: what runs is not touched."""
    found = lacking(session.host)
    if not found:
        return look(session)
    with session.journal.step("refit", releases=found):
        for release in found:
            starting.write(session.host, release, kept.require_staged(session.host, release))
    return Report(True, {"releases": found}, f"{len(found)} releases got their {starting.NAME}.")


def lacking(host: Host) -> list[str]:
    """Whole releases whose start is not there, or not what this slipway writes."""
    return [
        found.id
        for found in kept.installed(host)
        if found.manifest is not None and not starting.is_written(host, found.id, found.manifest)
    ]
