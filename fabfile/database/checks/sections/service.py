"""What the service and the host bring: the schema's revision, backups, disks, the certificate, the clock."""

from __future__ import annotations

from dataclasses import dataclass

from fabfile import schema
from fabfile.database import texts
from fabfile.database.checks.judging import About, Check, Judged, measured, stated
from fabfile.database.checks.sections import disks, physical
from fabfile.database.checks.sections.markers import marker
from fabfile.database.findings import Level


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
        yield from marker(about, "backup", "latest", "The last backup", "fab db-backup")
        yield from marker(
            about, "restore-test", "restore_test", "The last restore test", "fab db-restore --test"
        )


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
        command = f"openssl x509 -in {about.certificates}/host.pem"
        yield stated(about, "certificate", Level.UNKNOWN, said, command)
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
    physical.CHECK,
    disks.CHECK,
    Check("certificate", (), certificate, monitor=False),
    Check("clock", (), clock, monitor=False),
)
# What can be said without the server.
HOST = tuple(check for check in CHECKS if not check.queries)
