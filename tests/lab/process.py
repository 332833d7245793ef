"""Processes that outlive the command which started them, recorded so that exactly they can be ended."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.lab.commands import search_path
from tests.lab.errors import LabError

CODE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Identity:
    """One process and no other: a pid is reused, a pid with its start time and boot is not.

    start is in clock ticks since the machine booted, as /proc/<pid>/stat has it.
    """

    pid: int
    start: int
    boot_id: str


def identify(pid: int) -> Identity | None:
    """Return the identity of a running process, None when there is none (a zombie has ended)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name and may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return Identity(pid, int(fields[19]), Path("/proc/sys/kernel/random/boot_id").read_text().strip())


def alive(identity: Identity) -> bool:
    """Say whether this very process still runs."""
    return identify(identity.pid) == identity


def children(identity: Identity) -> list[Identity]:
    """Return the running children of a process, none when it has ended."""
    try:
        pids = Path(f"/proc/{identity.pid}/task/{identity.pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    found = [identify(int(pid)) for pid in pids]
    return [child for child in found if child] if alive(identity) else []


def send(identity: Identity, signal_number: signal.Signals) -> None:
    """Signal this very process; do nothing when it has ended, whoever has its pid now."""
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        # The handle cannot move to another process, so what is checked here is what gets the signal.
        if alive(identity):
            signal.pidfd_send_signal(handle, signal_number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def wait(identity: Identity, seconds: float) -> bool:
    """Wait for the end of a process; return whether it ended in time."""
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return True
    try:
        return not alive(identity) or bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def end(identity: Identity, *, seconds: float = 5) -> None:
    """Ask a process to end, and kill it when it has not after the given seconds."""
    send(identity, signal.SIGTERM)
    if not wait(identity, seconds):
        send(identity, signal.SIGKILL)
        wait(identity, 5)


def start(
    argv: Sequence[str], *, record: Path, about: Mapping[str, Any], log: Path, hold: Sequence[int] = ()
) -> Identity:
    """Start a process in a session of its own; return when its record is on the disk.

    The process writes its record itself before it becomes argv, and keeps the file descriptors in hold (locks)
    open until then: killing the caller at any moment leaves no process without a record.
    """
    readable, writable = os.pipe()
    recorder = [
        sys.executable,
        "-m",
        "tests.lab.recorded",
        str(record),
        str(writable),
        json.dumps(dict(about)),
    ]
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", *recorder, ",".join(map(str, hold)), *argv],
            env={**os.environ, "PATH": search_path(), "PYTHONPATH": str(CODE), "LC_ALL": "C.UTF-8"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(writable, *hold),
            check=True,
        )
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        recorded = pipe.read()
    if not recorded:
        raise LabError(f"Could not start {argv[0]}; its log {log} ends with\n{tail(log)}")
    return load(record)[0]


def save(record: Path, about: Mapping[str, Any]) -> None:
    """Write the record of the calling process, whole or not at all."""
    identity = identify(os.getpid())
    assert identity is not None
    partial = record.with_suffix(".partial")
    partial.write_text(json.dumps({**about, **asdict(identity)}, indent=2) + "\n")
    partial.rename(record)


def load(record: Path) -> tuple[Identity, dict[str, Any]]:
    """Read a record: the process, and what was said about it."""
    about = json.loads(record.read_text())
    return Identity(about.pop("pid"), about.pop("start"), about.pop("boot_id")), about


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log file, indented."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
