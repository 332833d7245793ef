"""The files that backups and restore tests leave: how the last went, and when."""

from __future__ import annotations

from datetime import datetime, timezone

from fabfile.database import texts, units
from fabfile.database.checks.judging import About, Judged, measured, stated
from fabfile.database.findings import Finding, Level


def marker(about: About, check: str, fact: str, what: str, command: str) -> Judged:
    """How the last of a kind went, by the file that the program left; what: "The last backup", command: makes one."""
    found = about.facts.get(fact)
    if found is None:
        none = what.removeprefix("The last ")
        yield stated(about, check, Level.WARN, f"There has been no {none} yet.", command)
        return
    at = moment(found.get("at"))
    if found.get("ok") is not True and found.get("tried") is False:
        yield _untried(about, check, at, texts.plain(found.get("detail") or "", 300), what, command)
    elif at is None:
        why = texts.plain(found.get("unreadable") or "it has no time", 120)
        yield stated(
            about, check, Level.UNKNOWN, f"{what} left a record that cannot be read: {why}.", command
        )
    elif found.get("ok") is not True:
        why = texts.plain(found.get("detail") or "it does not say why", 200)
        yield stated(about, check, Level.CRITICAL, f"{what} failed: {why.rstrip('.')}.", command)
    else:
        age = (about.now - at).total_seconds()
        yield measured(about, check, age, f"{what} is {units.duration(age)} old", command)


def _untried(about: About, check: str, at: datetime | None, detail: str, what: str, command: str) -> Finding:
    """Refused before anything was tried, such as for room: no backup is shown to be bad, and none to be good."""
    why = f"and the next was refused: {detail.rstrip('.')}"
    if at is None:
        said = f"There has been no {what.removeprefix('The last ')} yet, {why}."
        return stated(about, check, Level.WARN, said, command)
    age = (about.now - at).total_seconds()
    found = measured(about, check, age, f"{what} is {units.duration(age)} old, {why}", command)
    return stated(about, check, Level.WARN, found.sentence, command) if found.level is Level.OK else found


def moment(text: object) -> datetime | None:
    """The moment that a file says, None when it says none."""
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
