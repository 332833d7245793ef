"""What the service and the host bring: the schema's revision, backups, disks, the certificate, the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from fabfile import schema
from fabfile.database import texts, units
from fabfile.database.checks import certificates
from fabfile.database.checks.judging import About, Check, Judged, measured, stated
from fabfile.database.checks.sections import disks
from fabfile.database.findings import Finding, Level


@dataclass(frozen=True)
class Revision:
    revision: str


def migration(about: About, found: list[Revision]) -> Judged:
    """The schema's revision against the live release's."""
    said = ", ".join(texts.plain(one.revision, 40) for one in found) or "none"
    if len(found) != 1:
        yield stated(
            about,
            "migration",
            Level.CRITICAL,
            f"The schema has {len(found)} revisions: {said}.",
            "fab releases",
        )
    elif about.head is None:
        yield stated(
            about,
            "migration",
            Level.UNKNOWN,
            f"The schema is at {said}; which one the live release has is not known.",
            "fab releases",
        )
    elif about.head == found[0].revision:
        yield stated(about, "migration", Level.OK, f"The schema is at {said}, as the live release has it.")
    elif not about.chains:
        told = f"The schema is at {said}, not as the live release has it ({texts.plain(about.head, 40)})."
        yield stated(about, "migration", Level.WARN, told, "fab releases")
    elif why := schema.outside(about.head, found[0].revision, about.chains):
        told = f"The live release does not fit the schema: {texts.plain(why, 300)}."
        yield stated(about, "migration", Level.CRITICAL, told, "fab migrate-plan")
    else:
        # A step that takes away is held back, or the release was rolled back: both are meant to be so.
        told = f"The schema is at {said}, which the live release ({texts.plain(about.head, 40)}) can run on."
        yield stated(about, "migration", Level.OK, told)


def backups(about: About) -> Judged:
    """The last backup and the last restore test, by the files that the backup program leaves."""
    if about.backups_expected and about.facts:
        yield from _marker(about, "backup", "latest", "The last backup", "fab db-backup")
        yield from _marker(
            about, "restore-test", "restore_test", "The last restore test", "fab db-restore --test"
        )


def _marker(about: About, check: str, fact: str, what: str, command: str) -> Judged:
    found = about.facts.get(fact)
    if found is None:
        none = what.removeprefix("The last ")
        yield stated(about, check, Level.WARN, f"There has been no {none} yet.", command)
        return
    at = _moment(found.get("at"))
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


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def certificate(about: About) -> Judged:
    """Days that the host's certificate has left."""
    text = about.facts.get("certificate")
    if not text:
        return
    try:
        ends = certificates.ends(text)
    except ValueError:
        said = "The host's certificate cannot be read."
        yield stated(about, "certificate", Level.UNKNOWN, said, "openssl x509 -in /etc/ssl/slipway/host.pem")
        return
    days = (ends - about.now).total_seconds() / 86400
    said = f"The host's certificate ends in {days:.0f} days"
    yield measured(about, "certificate", days, said, "ansible-playbook -i inventory/ENV site.yml")


def clock(about: About) -> Judged:
    """The host's clock against the controller's (the way there is within the warning), and whether it is kept right."""
    apart = about.facts.get("clock_apart")
    if apart is not None:
        apart = abs(float(apart))
        said = f"The host's clock is {apart:.1f} s from this machine's"
        yield measured(about, "clock", apart, said, "timedatectl")
    kept = about.facts.get("synchronised")
    if kept is not None:
        yield stated(
            about,
            "clock-synchronisation",
            Level.OK if kept else Level.WARN,
            "A time server keeps the host's clock right."
            if kept
            else "No time server keeps the host's clock right.",
            "timedatectl timesync-status",
        )


CHECKS = (
    Check("migration", (("revision", Revision),), migration, monitor=False),
    Check("backup", (), backups, monitor=False),
    disks.CHECK,
    Check("certificate", (), certificate, monitor=False),
    Check("clock", (), clock, monitor=False),
)
# What can be said without the server.
HOST = tuple(check for check in CHECKS if not check.queries)
