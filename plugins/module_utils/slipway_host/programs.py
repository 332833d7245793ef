"""What is installed on a host and what runs there, as dpkg and systemd say."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess

FORMAT = "${db:Status-Status}\t${Package}\t${Version}\n"
# What dpkg finishes by itself, or has only the settings of.
AT_REST = {"config-files", "triggers-awaited", "triggers-pending", "not-installed"}
APT_UNITS = ("apt-daily.service", "apt-daily-upgrade.service")
ENABLED = {"enabled", "enabled-runtime", "static", "alias", "indirect", "generated"}
DPKG = "/var/lib/dpkg"
# struct flock: type, whence, start, length, pid.
LOCK = "hhqqi4x"


def packages() -> tuple[dict[str, str], list[str]]:
    """{name: version} of what is installed, and the names of packages that dpkg began and did not finish."""
    rows = [line.split("\t") for line in said("dpkg-query", "--show", f"--showformat={FORMAT}").splitlines()]
    installed = {
        name: version for status, name, version in rows if status == "installed" or status[:8] == "triggers"
    }
    return installed, sorted({name for status, name, _ in rows if status not in AT_REST | {"installed"}})


def dpkg_works() -> bool:
    """Whether dpkg or apt holds its lock just now: what is unfinished then may be so for a moment."""
    for name in ("lock-frontend", "lock"):
        try:
            with open(f"{DPKG}/{name}", "rb") as stream:
                asked = struct.pack(LOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                if struct.unpack(LOCK, fcntl.fcntl(stream, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK:
                    return True
        except OSError:
            continue
    return False


def units() -> tuple[list[str], list[str], list[str]]:
    """The services and timers that run, those that a boot starts, and those that are being started."""
    shown = said("systemctl", "show", "--property=Id,ActiveState,UnitFileState", "*.service", "*.timer")
    loaded = [
        dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n") if block
    ]
    running = [unit["Id"] for unit in loaded if unit.get("ActiveState") == "active"]
    starting = [unit["Id"] for unit in loaded if unit.get("ActiveState") == "activating"]
    # Instances are known once they are loaded; what is not loaded is known by its file.
    enabled = {unit["Id"] for unit in loaded if unit.get("UnitFileState") in ENABLED}
    files = said("systemctl", "list-unit-files", "--no-legend", "--plain", "--type=service,timer")
    enabled |= {row[0] for row in map(str.split, files.splitlines()) if len(row) > 1 and row[1] in ENABLED}
    return sorted(running), sorted(enabled), sorted(starting)


def first_boot(starting: list[str], run: str = "/run/cloud-init") -> list[str]:
    """What of a host's making still goes on: cloud-init, and apt's own runs, which hold dpkg's locks."""
    # cloud-init's generator says that it is to run, its last stage that it has.
    cloud = os.path.exists(f"{run}/enabled") and not os.path.exists(f"{run}/result.json")
    return (["cloud-init"] if cloud else []) + [unit for unit in APT_UNITS if unit in starting]


def said(*command: str) -> str:
    """What a program writes to its standard output; nothing where there is no such program."""
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    except FileNotFoundError:
        return ""


def python_complaint(named: str) -> str:
    """Why a Python that is named by its path cannot make environments; empty when it can, or none is."""
    if not named.startswith("/"):
        return ""
    try:
        done = subprocess.run(
            [named, "-I", "-c", "import ensurepip, venv"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as failure:
        return failure.strerror or str(failure)
    return (
        (done.stderr.strip().splitlines() or [f"it ends with {done.returncode}"])[-1]
        if done.returncode
        else ""
    )
