"""Stops slipway the moment it has journaled a record; writes which processes these are and whose SSH sessions."""

import json
import os
import signal
import sys
import time

arguments = json.loads(sys.argv[1])
wanted = {name: arguments[name] for name in ("step", "phase", "release") if arguments[name]}
# Far below what the flush of a record to the disk takes.
PAUSE = 0.0005


def words(pid: int) -> list[str]:
    """What a process was started with; nothing when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            return file.read().split("\0")
    except OSError:
        return []


def parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def helpers() -> list[int]:
    """The processes that are slipway itself, not the sudo before it."""
    found = []
    for name in os.listdir("/proc"):
        typed = words(int(name)) if name.isdigit() else []
        if typed and "python" in typed[0] and "/usr/local/sbin/slipway" in typed:
            found.append(int(name))
    return found


def sessions(pid: int) -> list[int]:
    """The sshd processes of the session in which a process runs; not the one that listens."""
    found = []
    while (pid := parent(pid)) > 1:
        if words(pid)[0].startswith("sshd: ") and "[listener]" not in words(pid)[0]:
            found.append(pid)
    return found


with open(arguments["journal"], encoding="utf-8", errors="replace") as journal:
    journal.seek(0, os.SEEK_END)
    print("watching", flush=True)
    deadline, line = time.monotonic() + arguments["seconds"], ""
    while time.monotonic() < deadline:
        line += journal.readline()
        if not line.endswith("\n"):
            time.sleep(PAUSE)
            continue
        entry, line = json.loads(line), ""
        if all(entry.get(name) == value for name, value in wanted.items()):
            stopped = helpers()
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            print(
                json.dumps(
                    {
                        "helpers": stopped,
                        "callers": [parent(pid) for pid in stopped],
                        "sessions": [each for pid in stopped for each in sessions(pid)],
                    }
                )
            )
            sys.exit(0)
print(json.dumps(None))
