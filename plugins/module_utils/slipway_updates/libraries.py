"""Who still runs what an update has replaced: processes whose libraries or program are gone from the disk."""

from __future__ import annotations

import os
import re

GONE = " (deleted)"
LIBRARY = re.compile(r"^/(?:usr/)?(?:local/)?lib\S*\.so[.0-9]*$")
PROGRAM = re.compile(r"^/(?:usr/)?(?:local/)?s?bin/|^/usr/lib/")
UNIT = re.compile(r"/([^/]+\.service)(?:/|$)|^(/init\.scope)$")


def stale(proc: str = "/proc") -> dict[str, list[str]]:
    """{unit: files} of the units with a process that runs a file which is not there any more; systemd is init.scope."""
    found: dict[str, set[str]] = {}
    for pid in filter(str.isdigit, os.listdir(proc)):
        files = replaced(f"{proc}/{pid}")
        unit = unit_of(f"{proc}/{pid}") if files else ""
        if unit:
            found.setdefault(unit, set()).update(files)
    return {unit: sorted(files) for unit, files in sorted(found.items())}


def replaced(process: str) -> set[str]:
    """The libraries, and the program, of one process that were replaced; nothing of one that has ended."""
    found = set()
    try:
        with open(f"{process}/maps", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                path = line.rstrip("\n").partition("/")[2]
                if path.endswith(GONE) and LIBRARY.match("/" + path[: -len(GONE)]):
                    found.add("/" + path[: -len(GONE)])
        program = os.readlink(f"{process}/exe")
    except OSError:
        return found
    if program.endswith(GONE) and PROGRAM.match(program):
        found.add(program[: -len(GONE)])
    return found


def unit_of(process: str) -> str:
    """The unit of a process; "" for one of somebody who is logged in, which ends by itself."""
    try:
        with open(f"{process}/cgroup", encoding="ascii", errors="replace") as stream:
            path = stream.read().strip().rpartition("::")[2]
    except OSError:
        return ""
    if "/user.slice/" in f"{path}/":
        return ""
    found = UNIT.search(path)
    return (found[1] or "init.scope") if found else ""
