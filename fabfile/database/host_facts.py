"""Runs on the database host, by its Python 3.10 and nothing else: prints one JSON line of what only the host knows,
and one more for each line it is given, until the connection is closed.

Fed over SSH with its arguments as JSON; never installed. What cannot be read is None, not an error.
"""

import ctypes
import json
import os
import subprocess
import sys
import time
from typing import Any

TIME_ERROR = 5


def collect(data: str, unit: str, lock: str, markers: str, live: str) -> dict[str, Any]:
    """data: the data directory; lock: the server's lock file; markers: the backups' folder; live: a manifest."""
    facts: dict[str, Any] = {
        "clock": time.time(),
        "synchronised": _synchronised(),
        "unit": _unit(unit),
        "disks": {path: _disk(path) for path in (data, "/var/log", markers)},
        "lock": _lock(lock),
        "latest": _object(os.path.join(markers, "latest.json")),
        "restore_test": _object(os.path.join(markers, "restore-test.json")),
        "manifest": _object(live),
        "certificate": _text("/etc/ssl/slipway/host.pem"),
    }
    if (facts["unit"] or {}).get("ActiveState") != "active":
        facts["log"] = _output(
            "journalctl", "--no-pager", "--lines=12", "--output=short-iso", f"--unit={unit}"
        )
    return facts


def _disk(path: str) -> "dict[str, int] | None":
    """Of the nearest folder above that may be looked at."""
    while True:
        try:
            seen = os.statvfs(path)
        except FileNotFoundError:
            return None
        except OSError:
            if path == "/":
                return None
            path = os.path.dirname(path)
            continue
        return {
            "device": os.stat(path).st_dev,
            "size": seen.f_frsize * seen.f_blocks,
            "free": seen.f_frsize * seen.f_bavail,
            "used": seen.f_frsize * (seen.f_blocks - seen.f_bfree),
            "inodes": seen.f_files,
            "inodes_free": seen.f_favail,
        }


def _synchronised() -> "bool | None":
    """Whether something keeps the kernel's clock right; None in a container, whose clock is not its own."""
    if os.path.exists("/run/systemd/container"):
        return None
    # struct timex, larger than on any machine; all zero only asks. What is returned: adjtimex(2).
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    return None if state < 0 else state != TIME_ERROR


def _unit(unit: str) -> "dict[str, str] | None":
    names = "ActiveState,SubState,Result,ExecMainStatus,NRestarts"
    said = _output("systemctl", "show", f"--property={names}", "--", unit)
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line) if said else None


def _lock(path: str) -> "dict[str, Any] | None":
    """The process that the socket's lock file names, and whether it lives."""
    text = _text(path)
    if text is None:
        return None
    first = text.split("\n", 1)[0].strip()
    return {"path": path, "pid": first, "alive": first.isdigit() and os.path.exists(f"/proc/{first}")}


def _text(path: str) -> "str | None":
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 18)
    except OSError:
        return None


def _object(path: str) -> "dict[str, Any] | None":
    """A JSON object, None when the file is not there, {"unreadable": why} when it is no object."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.loads(file.read(1 << 18))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as failure:
        return {"unreadable": str(failure)}
    if not isinstance(found, dict):
        return {"unreadable": "it is not an object"}
    return {key: value for key, value in found.items() if not isinstance(value, (dict, list))}


def _output(*command: str) -> str:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def main(arguments: str) -> None:
    wanted = json.loads(arguments)
    print(json.dumps(collect(**wanted)), flush=True)
    while sys.stdin.buffer.readline():
        print(json.dumps(collect(**wanted)), flush=True)
