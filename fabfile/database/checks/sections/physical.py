"""Physical backups: the last one, the last restore test, gaps in the WAL and damage, by what the host left."""

from __future__ import annotations

from typing import Any

from fabfile.database import texts, units
from fabfile.database.checks.judging import About, Check, Judged, measured, stated
from fabfile.database.checks.sections.markers import marker, moment
from fabfile.database.findings import Level

LISTED = "fab db-backups"


def backups(about: About) -> Judged:
    """Nothing where the inventory wants none, or where nobody asked the host."""
    if not about.physical_expected or not about.facts:
        return
    yield from marker(
        about, "physical-backup", "physical", "The last physical backup", "fab db-backup --type diff"
    )
    what, command = "The last physical restore test", "fab db-restore --test --latest"
    yield from marker(about, "physical-restore-test", "physical_test", what, command)
    look = about.facts.get("physical_look")
    at = moment((look or {}).get("at"))
    if look is None or at is None:
        said = "Nobody has looked for gaps in the WAL and damage in the physical backups yet."
        yield stated(about, "wal-continuity", Level.WARN, said, LISTED)
        return
    if look.get("ok") is not True:
        why = texts.plain(look.get("problem") or "it does not say why", 300)
        yield stated(
            about, "backup-integrity", Level.CRITICAL, f"The repository could not be read: {why}", LISTED
        )
    age = (about.now - at).total_seconds()
    said = f"Gaps and damage in the physical backups were looked for {units.duration(age)} ago"
    yield measured(about, "physical-look", age, said, LISTED)
    yield from _gaps(about, look)
    yield from _damage(about, look)
    yield from _copy(about, look.get("copy") or {})


def _copy(about: About, copy: dict[str, Any]) -> Judged:
    """The second repository, by what the host that has it last said; nothing where nobody wants one."""
    host = texts.plain(copy.get("wanted_by") or "", 80)
    if not host:
        return
    at = moment(copy.get("at"))
    why = texts.plain(copy.get("problem") or "", 300).rstrip(".")
    if at is None:
        said = f"{host} has no copy of the backups yet{': ' + why if why else ''}."
        yield stated(about, "backup-copy", Level.WARN, said, LISTED)
        return
    age = (about.now - at).total_seconds()
    said = f"The copy of the backups on {host} is {units.duration(age)} old"
    found = measured(about, "backup-copy", age, said, LISTED)
    if copy.get("ok") is not True and found.level is Level.OK:
        found = stated(about, "backup-copy", Level.WARN, f"{said}, and the next failed: {why}.", LISTED)
    yield found


def _gaps(about: About, look: dict[str, Any]) -> Judged:
    gaps = [each for each in look.get("gaps") or [] if isinstance(each, dict)]
    if not gaps:
        yield stated(about, "wal-continuity", Level.OK, "The WAL in the repository has no gap.")
    for gap in gaps:
        # Behind a later backup every moment is there again; what lies between stays lost.
        level = Level.WARN if gap.get("closed_by") else Level.CRITICAL
        said = texts.plain(gap.get("said") or "WAL is missing in the repository.", 300)
        yield stated(about, "wal-continuity", level, said, "fab db-backup --type full")


def _damage(about: About, look: dict[str, Any]) -> Judged:
    damaged = [texts.plain(each, 40) for each in look.get("damaged") or []]
    verify = look.get("verify") or {}
    if damaged:
        said = f"Pages of the live data were damaged when {', '.join(damaged)} was made."
        yield stated(about, "backup-integrity", Level.CRITICAL, said, LISTED)
    if verify.get("ok") is False:
        why = texts.plain(verify.get("detail") or "it does not say which", 300)
        said = f"Files of the repository are damaged: {why}."
        yield stated(about, "backup-integrity", Level.CRITICAL, said, LISTED)
    if not damaged and verify.get("ok") is not False:
        yield stated(about, "backup-integrity", Level.OK, "No damage is known in the physical backups.")


CHECK = Check("physical-backup", (), backups, monitor=False)
