"""By which groups nginx reaches the service: those its workers run with, those that guard the instances there are."""

from __future__ import annotations

import glob
import grp
import os
from typing import Any

LEAVING = b"is shutting down"


def facts(app: str, proc: str = "/proc", run: str = "/run") -> dict[str, list[str]]:
    """nginx_groups: what each of its workers has. instance_groups: whose the folders of the sockets are."""
    return {
        "nginx_groups": nginx_groups(proc, f"{run}/nginx.pid"),
        "instance_groups": instance_groups(f"{run}/{app}"),
    }


def nginx_groups(proc: str, pid_file: str) -> list[str]:
    """Names of the groups that every worker of the host's own nginx has; empty when there is none.

    A worker has the groups of the moment it was started: a new one is known to it after a reload.
    """
    master = _first_line(pid_file)
    found = [_worker(folder, master) for folder in glob.glob(f"{proc}/[0-9]*")] if master.isdigit() else []
    workers = [groups for groups in found if groups is not None]
    return sorted(map(_name, set.intersection(*workers))) if workers else []


def instance_groups(sockets: str) -> list[str]:
    """Names of the groups of the folders in which instances of the service have their sockets."""
    found = set()
    for folder in glob.glob(f"{sockets}/*"):
        try:
            found.add(os.stat(folder).st_gid)
        except FileNotFoundError:
            # Stopped just now.
            continue
    return sorted(map(_name, found))


def _worker(folder: str, master: str) -> set[int] | None:
    """The groups of a process that is a worker of `master` and stays one."""
    try:
        with open(f"{folder}/status", encoding="utf-8", errors="replace") as stream:
            status: dict[str, Any] = dict(line.rstrip("\n").split(":", 1) for line in stream if ":" in line)
        if status["PPid"].strip() != master:
            return None
        with open(f"{folder}/cmdline", "rb") as stream:
            if LEAVING in stream.read():
                return None
    except (OSError, KeyError):
        return None
    return {int(number) for number in f"{status['Gid'].split()[1]} {status['Groups']}".split()}


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.readline().strip()
    except OSError:
        return ""


def _name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
