"""What the service and the host bring: the schema's revision, backups, disks, the certificate, the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fabfile.database import texts, units
from fabfile.database.findings import Level, Table
from fabfile.database.judging import About, Check, Judged, measured, stated

DATA = "/var/lib/postgresql/"


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
    else:
        same = about.head == found[0].revision
        word = "as" if same else "not as"
        yield stated(
            about,
            "migration",
            Level.OK if same else Level.WARN,
            f"The schema is at {said}, {word} the live release has it ({texts.plain(about.head, 40)}).",
            "fab releases",
        )


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
    if at is None:
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


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def disks(about: About) -> Judged:
    """Space and inodes; folders on one device are one line."""
    seen: dict[int, tuple[list[str], Mapping[str, Any]]] = {}
    for path, disk in (about.facts.get("disks") or {}).items():
        if disk:
            seen.setdefault(disk["device"], ([], disk))[0].append(path)
    rows = []
    for paths, disk in seen.values():
        where = texts.plain(" and ".join(paths))
        used = 100 * disk["used"] / max(1, disk["used"] + disk["free"])
        said = f"The disk of {where} is {used:.0f} % full, {units.size(disk['free'])} are free"
        yield measured(about, "disk", used, said, "fab db-sizes")
        if disk["inodes"]:
            percent = 100 * (1 - disk["inodes_free"] / disk["inodes"])
            yield measured(
                about, "inodes", percent, f"The disk of {where} has used {percent:.0f} % of its inodes"
            )
        rows.append((where, disk["size"], disk["free"], used))
    if rows:
        yield Table("Disks", ("folders", "size bytes", "free bytes", "used %"), tuple(rows))
    elif about.facts:
        yield stated(
            about, "disk", Level.UNKNOWN, "The host does not say how full its disks are.", "fab diagnose"
        )


def free_for_data(about: About) -> float | None:
    """Bytes free where the data is, None where nobody asked the host."""
    for path, disk in (about.facts.get("disks") or {}).items():
        if disk and path.startswith(DATA):
            return float(disk["free"])
    return None


def certificate(about: About) -> Judged:
    """Days that the host's certificate has left."""
    text = about.facts.get("certificate")
    if not text:
        return
    from cryptography import x509

    try:
        ends = x509.load_pem_x509_certificate(text.encode()).not_valid_after_utc
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
    Check("disk", (), disks, monitor=False),
    Check("certificate", (), certificate, monitor=False),
    Check("clock", (), clock, monitor=False),
)
# What can be said without the server.
HOST = tuple(check for check in CHECKS if not check.queries)
