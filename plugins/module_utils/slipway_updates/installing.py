"""Updates are installed in a unit of the host's own: whoever asked for it may go, dpkg comes to its end."""

from __future__ import annotations

import os
import subprocess
import time

from . import waiting

UNIT = "slipway-patch.service"
# Of what is unpacked beside what it replaces, by experience less than four times the package.
ROOM_FACTOR, ROOM_LEAST = 5, 200_000_000
KEEP = ("--force-confdef", "--force-confold")
# needrestart would start anew what Slipway starts anew in its own way.
ENVIRONMENT = (
    "DEBIAN_FRONTEND=noninteractive",
    "NEEDRESTART_SUSPEND=1",
    "NEEDRESTART_MODE=l",
    "LC_ALL=C.UTF-8",
)
LINES = 15


class InstallError(Exception):
    """What was not installed, how the host is then, and what to type."""


def require_room(fetched: int, path: str = "/") -> None:
    """Raises InstallError where the disk could fill while dpkg is at it."""
    found = os.statvfs(path)
    free, needed = found.f_bavail * found.f_frsize, max(ROOM_LEAST, ROOM_FACTOR * fetched)
    if free < needed:
        raise InstallError(
            f"{path} has {free // 10**6} MB left, and the updates may take {needed // 10**6} MB meanwhile. Nothing was "
            "installed. Make room: apt-get clean; journalctl --vacuum-size=200M"
        )


def require_apart(names: list[str], apart: list[str]) -> None:
    """Raises InstallError where apt would bring what is to come apart, or take a package away."""
    simulated = waiting.simulated("install", "--only-upgrade", *names)
    removed = [line.split()[1] for line in simulated.splitlines() if line.startswith("Remv ")]
    brought = sorted({row["name"] for row in waiting.updates(simulated)} & set(apart))
    if removed:
        raise InstallError(
            f"apt would remove {', '.join(removed)} for it. Nothing was installed. See: apt-get --simulate dist-upgrade"
        )
    if brought:
        raise InstallError(
            f"apt would bring {', '.join(brought)} with it, which comes in a window alone. Nothing was installed. "
            "Type: fab patch --window"
        )


def script(names: list[str], lock_timeout: int, unfinished: bool) -> str:
    """What the unit performs. The files that somebody changed stay as they are."""
    options = " ".join(f"-oDpkg::Options::={each}" for each in KEEP)
    lines = ["set -e"]
    if unfinished:
        lines += [
            f"dpkg {' '.join(KEEP)} --configure --pending",
            f"apt-get --quiet --yes {options} --fix-broken install",
        ]
    if names:
        lines += [
            f"apt-get --quiet --yes --no-remove {options} -oDPkg::Lock::Timeout={lock_timeout} "
            f"install --only-upgrade {' '.join(names)}"
        ]
    return "\n".join(lines)


def begun() -> bool:
    """Whether an installation is under way here, of whoever asked."""
    state = _said("systemctl", "show", "--property=ActiveState", "--value", UNIT)
    return state.strip() in ("active", "activating", "deactivating")


def wait_for_another(seconds: float) -> bool:
    """Until the one that is under way has ended; whether there was one. Raises InstallError when it does not."""
    if not begun():
        return False
    deadline = time.monotonic() + seconds
    while begun():
        if time.monotonic() > deadline:
            raise InstallError(
                f"An installation that was begun before still goes on after {seconds:.0f} s: journalctl -fu {UNIT}"
            )
        time.sleep(1)
    return True


def install(names: list[str], lock_timeout: int, unfinished: bool, seconds: float) -> None:
    """Install these. Raises InstallError; what dpkg had finished is kept."""
    began = int(time.time())
    given = [word for each in ENVIRONMENT for word in ("--setenv", each)]
    command = [
        "systemd-run", "--quiet", "--collect", "--wait", f"--unit={UNIT}", "--description=Updates of packages",
        f"--property=RuntimeMaxSec={seconds:.0f}", *given, "/bin/sh", "-c", script(names, lock_timeout, unfinished),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        told = _said(
            "journalctl", "--quiet", "--output=cat", f"--unit={UNIT}", f"--since=@{began}", f"--lines={LINES}"
        )
        raise InstallError(
            "apt did not install all of it. What dpkg had finished is kept; the next fab patch goes on from there. "
            f"On the host: journalctl -u {UNIT}. It said:\n{(told or done.stderr).strip()}"
        )


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
