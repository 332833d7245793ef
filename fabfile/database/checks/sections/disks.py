"""Every disk of the host, and what of the server lies on it: its data wherever that is, WAL, tablespaces, logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fabfile.database import texts, units
from fabfile.database.checks.judging import About, Check, Judged, measured, named, stated
from fabfile.database.findings import Level, Table

WAL = "WAL"


def disks(about: About) -> Judged:
    """Space and inodes; folders on one device are one line. What could not be looked at is not known."""
    if not about.facts:
        return
    yield from _unseen(about)
    on: dict[int, tuple[list[str], Mapping[str, Any]]] = {}
    for name, disk in _seen(about):
        on.setdefault(disk["device"], ([], disk))[0].append(name)
    rows = []
    for names, disk in on.values():
        where = texts.plain(named(sorted(set(names), key=names.index), 4))
        used = 100 * disk["used"] / max(1, disk["used"] + disk["free"])
        said = f"The disk of {where} is {used:.0f} % full, {units.size(disk['free'])} are free"
        yield measured(about, "disk", used, said, "fab db-sizes", subjects=(names[0],))
        if disk["inodes"]:
            percent = 100 * (1 - disk["inodes_free"] / disk["inodes"])
            said = f"The disk of {where} has used {percent:.0f} % of its inodes"
            yield measured(about, "inodes", percent, said, subjects=(names[0],))
        rows.append((where, disk["size"], disk["free"], used))
    yield Table("Disks", ("folders", "size bytes", "free bytes", "used %"), tuple(rows))


def _seen(about: About) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(What lies there, the disk), the server's own first."""
    for place in _places(about):
        if "problem" not in place:
            yield f"{place['what']} ({place['path']})", place
    for path, disk in (about.facts.get("disks") or {}).items():
        if disk:
            yield path, disk


def _unseen(about: About) -> Judged:
    server = about.facts.get("server") or {"problem": "the host does not say"}
    command = "ansible-playbook -i inventory/ENV playbooks/database.yml"
    if "problem" in server:
        said = (
            "Which disks the server's data, WAL and tablespaces lie on is not known: "
            f"{texts.plain(server['problem'], 160).rstrip('.')}."
        )
        yield stated(about, "disk", Level.UNKNOWN, said, command)
    for place in _places(about):
        if "problem" in place:
            said = (
                f"How full the disk of {texts.plain(place['what'])} ({texts.plain(place['path'], 120)}) is, is not "
                f"known: {texts.plain(place['problem'], 120)}."
            )
            yield stated(about, "disk", Level.UNKNOWN, said, "fab diagnose")


def _places(about: About) -> list[Mapping[str, Any]]:
    return list((about.facts.get("server") or {}).get("places") or [])


def free_for_wal(about: About) -> float | None:
    """Bytes free where WAL is, None where nobody could look."""
    for place in _places(about):
        if place["what"] == WAL and "problem" not in place:
            return float(place["free"])
    return None


CHECK = Check("disk", (), disks, monitor=False)
