"""How nginx reaches the service: by which groups on a host, and by which certificates from one to another."""

from __future__ import annotations

import glob
import grp
import os
from typing import Any

LEAVING = b"is shutting down"


# What stands in the file of an edge that shows its certificate, and in that of an app host that asks for one.
SHOWS, ASKS = "proxy_ssl_certificate ", "ssl_verify_client "


def facts(
    app: str, proc: str = "/proc", run: str = "/run", sites: str = "/etc/nginx/conf.d"
) -> dict[str, Any]:
    """nginx_groups: what each of its workers has. instance_groups: whose the folders of the sockets are.

    private_port: serves (the public site, as an edge), shows (its certificate), asks (as an app host, for an edge's).
    """
    return {
        "nginx_groups": nginx_groups(proc, f"{run}/nginx.pid"),
        "instance_groups": instance_groups(f"{run}/{app}"),
        # An earlier Slipway called it app.conf.
        "private_port": private_port(
            f"{sites}/{app}.conf", *(f"{sites}/{name}.conf" for name in (f"{app}-private", "app"))
        ),
    }


def private_port(edge: str, *app_host: str) -> dict[str, bool]:
    site, port = _text(edge), next(filter(None, map(_text, app_host)), "")
    return {"serves": "listen " in site, "shows": SHOWS in site, "asks": ASKS in port}


def nginx_groups(proc: str, pid_file: str) -> list[str]:
    """Names of the groups that every worker of the host's own nginx has; empty when there is none.

    A worker has the groups of the moment it was started: a new one is known to it after a reload.
    """
    master = _text(pid_file).strip()
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


def _text(path: str) -> str:
    """Empty where there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
