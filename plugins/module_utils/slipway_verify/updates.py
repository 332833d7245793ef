"""Updates that wait: none of it is wrong by itself, all of it is said."""

from __future__ import annotations

import os
import time

from .running import run

REBOOT, STAMP = "/var/run/reboot-required", "/var/lib/apt/periodic/unattended-upgrades-stamp"
STALE_DAYS = 3


def complaints(now: float | None = None) -> list[str]:
    """Complaints about a host that does not patch itself."""
    try:
        age = ((now or time.time()) - os.stat(STAMP).st_mtime) / 86400
    except FileNotFoundError:
        return []
    if age <= STALE_DAYS:
        return []
    return [f"unattended-upgrades last ran {age:.0f} days ago: journalctl -u apt-daily-upgrade says why"]


def notes() -> list[str]:
    """What waits for a reboot, a restart or somebody who installs it."""
    return [*reboot(), *security(), *restarts()]


def reboot() -> list[str]:
    if not os.path.exists(REBOOT):
        return []
    try:
        with open(f"{REBOOT}.pkgs", encoding="utf-8") as stream:
            packages = sorted(set(stream.read().split()))
    except FileNotFoundError:
        packages = []
    return [f"the host waits for a reboot{' for ' + ', '.join(packages) if packages else ''}"]


def security() -> list[str]:
    """Packages of which a security archive has a newer version; `slipway metrics` counts them by the same rule."""
    installed = run("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${binary:Package}\\n").stdout
    packages = [name for state, name in map(str.split, installed.splitlines()) if state == "installed"]
    # Without a name apt tells of its archives.
    names = _newer_by_security(run("apt-cache", "--quiet", "policy", *packages).stdout) if packages else []
    waits = f"security updates wait: {', '.join(names)} (apt-get upgrade, or the next night)"
    return [waits] if names else []


def _newer_by_security(policy: str) -> list[str]:
    """Those of which a security archive's version stands above the installed one (***), newest first."""
    names: set[str] = set()
    package, above = "", False
    for line in policy.splitlines():
        if not line.startswith(" "):
            package, above = line.rstrip(":"), True
        elif line.startswith(" *** "):
            above = False
        elif above and line.startswith(" " * 6) and any("-security/" in suite for suite in line.split()[2:3]):
            names.add(package)
    return sorted(names)


def restarts() -> list[str]:
    """Services that run with a library that an update has replaced, where needrestart is there to see it."""
    if not os.path.exists("/usr/sbin/needrestart"):
        return []
    said = run("needrestart", "-b", "-r", "l").stdout
    names = sorted(
        line.split(":", 1)[1].strip() for line in said.splitlines() if line.startswith("NEEDRESTART-SVC:")
    )
    return [f"an update waits for a restart of {', '.join(names)}"] if names else []
