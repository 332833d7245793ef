"""Runs on the database host, by its Python 3.10 and nothing else: prints one JSON line of what only the host knows,
and one more for each line it is given, until the connection is closed.

Fed over SSH with its arguments as JSON; never installed. What cannot be read is None, not an error.
"""

import ctypes
import glob
import json
import os
import re
import subprocess
import sys
import time
from typing import Any

TIME_ERROR = 5
# What an answer's line begins with: a login shell may print lines of its own.
MARK = "slipway-facts "
ON_DISKS = (
    "ext2",
    "ext3",
    "ext4",
    "xfs",
    "btrfs",
    "zfs",
    "f2fs",
    "jfs",
    "reiserfs",
    "bcachefs",
    "vfat",
    "overlay",
)
MOST_MOUNTS = 200
MOST_RELEASES = 20
SECONDS = 5


def collect(
    data: str,
    unit: str,
    lock: str,
    markers: str,
    physical: str,
    live: str,
    releases: str,
    server: str,
    look: str,
    certificate: str,
) -> dict[str, Any]:
    """data: the data directory, as long as no server names its own; lock: the server's lock file; markers, physical:
    where dumps and physical backups leave how they went; live: a manifest; releases: where the others are; server: the
    server's programs and libraries; look: the program for the server's files; certificate: the one that it shows.
    """
    # Asked as the server's own user meanwhile; the answer is awaited last.
    asked = _begun("sudo", "-n", "-u", "postgres", look)
    facts: dict[str, Any] = {
        "clock": time.time(),
        "synchronised": _synchronised(),
        "unit": _unit(unit),
        "disks": {path: _disk(path) for path in ("/var/log", markers, *_mounts())},
        "lock": _lock(lock),
        "latest": _object(os.path.join(markers, "latest.json")),
        "restore_test": _object(os.path.join(markers, "restore-test.json")),
        "physical": _object(os.path.join(physical, "latest.json")),
        "physical_test": _object(os.path.join(physical, "restore-test.json")),
        "physical_look": _object(
            os.path.join(physical, "look.json"), nested=("gaps", "damaged", "verify", "copy")
        ),
        "manifest": _object(live, nested=("schema_revisions",)),
        "chains": _chains(releases),
        "certificate": _text(certificate),
        "libraries": _libraries(server),
        "huge_pages": _huge_pages(),
    }
    if (facts["unit"] or {}).get("ActiveState") != "active":
        facts["log"] = _output(
            "journalctl", "--no-pager", "--lines=12", "--output=short-iso", f"--unit={unit}"
        )
    facts["server"] = _answered(asked, look)
    return facts


def _mounts() -> "list[str]":
    """Where disks of this host are mounted that can be written; not what is another host's, or in memory."""
    found = []
    for line in (_text("/proc/self/mountinfo") or "").splitlines():
        fields, _, more = line.partition(" - ")
        words = fields.split(" ")
        kind = more.split(" ")[0]
        if len(words) > 5 and kind in ON_DISKS and "rw" in words[5].split(","):
            found.append(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), words[4]))
    return [path for path in found if os.path.isdir(path)][:MOST_MOUNTS]


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


def _object(path: str, nested: "tuple[str, ...]" = ()) -> "dict[str, Any] | None":
    """A JSON object, None when the file is not there, {"unreadable": why} when it is no object.

    nested: which of its values may be lists or objects; others of these are left out.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.loads(file.read(1 << 18))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as failure:
        return {"unreadable": str(failure)}
    if not isinstance(found, dict):
        return {"unreadable": "it is not an object"}
    return {
        key: value for key, value in found.items() if key in nested or not isinstance(value, (dict, list))
    }


def _chains(releases: str) -> "list[Any]":
    """The schema's revisions as each of the newest releases knows them."""
    paths = sorted(glob.glob(os.path.join(releases, "*", "manifest.json")), reverse=True)[:MOST_RELEASES]
    manifests = [_object(path, nested=("schema_revisions",)) or {} for path in paths]
    return [each["schema_revisions"] for each in manifests if each.get("schema_revisions")]


def _libraries(server: str) -> "list[str] | None":
    """What the server can load at its start, by name."""
    try:
        return sorted(name[:-3] for name in os.listdir(os.path.join(server, "lib")) if name.endswith(".so"))
    except OSError:
        return None


def _huge_pages() -> "int | None":
    found = re.search(r"^HugePages_Total:\s+(\d+)", _text("/proc/meminfo") or "", re.MULTILINE)
    return int(found[1]) if found else None


def _begun(*command: str) -> "subprocess.Popen[bytes] | None":
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError:
        return None


def _answered(process: "subprocess.Popen[bytes] | None", look: str) -> "dict[str, Any]":
    """What the program for the server's files printed; {"problem": why} when it did not."""
    if process is None:
        return {"problem": "there is no sudo"}
    try:
        said, wrong = process.communicate(timeout=SECONDS)
        return dict(json.loads(said))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"problem": f"{look} did not answer in {SECONDS} s"}
    except ValueError:
        lines = wrong.decode("utf-8", "replace").strip().splitlines()
        return {"problem": lines[-1] if lines else f"{look} ended with status {process.returncode}"}


def _output(*command: str) -> str:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def main(arguments: str) -> None:
    wanted = json.loads(arguments)
    _answer(wanted)
    while sys.stdin.buffer.readline():
        _answer(wanted)


def _answer(wanted: "dict[str, str]") -> None:
    print(MARK + json.dumps(collect(**wanted)), flush=True)
