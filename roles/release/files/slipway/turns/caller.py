"""Who typed a command: by sudo, and by the key that sshd took, which nobody who shares an account can claim."""

from __future__ import annotations

import base64
import json
import os
import re
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from slipway.host import Host
from slipway.keys import fingerprint
from slipway.processes import run

# The process of root's that let a session in; from OpenSSH 9.8 on it is a program of its own.
SSHD = {"/usr/sbin/sshd", "/usr/lib/openssh/sshd-session"}
ACCEPTED = re.compile(
    r"Accepted publickey for (\S{1,64}) from \S{1,64} port \d{1,5} ssh2: \S{1,40} (SHA256:[\w+/]{43})"
)
NAME = re.compile(r"[\w.+@-]{1,64}", re.ASCII)
SECONDS = 5.0


def account() -> str:
    """Whose login typed the command, through sudo or not."""
    return os.environ.get("SUDO_USER") or "root"


def caller(host: Host) -> str:
    """Such as `alice@example.com as deploy`; the account alone where no key was used or its login is not on record."""
    key = _key(host, account()) if os.environ.get("SUDO_USER") else ""
    return f"{key} as {account()}" if key else account()


@lru_cache(maxsize=8)
def _key(host: Host, user: str) -> str:
    """What the file of keys calls the one that this session came with, its fingerprint where it has no name."""
    login = _login(host)
    taken = _accepted(host, login, user) if login else ""
    return _names(host, user).get(taken, taken) if taken else ""


def _login(host: Host) -> int | None:
    """The sshd of root's above this process."""
    process = os.getppid()
    while process > 1:
        folder = host.path(f"/proc/{process}")
        try:
            if _is_roots(folder) and os.readlink(folder / "exe") in SSHD:
                return process
            process = int(_stat(folder)[1])
        except (OSError, ValueError, IndexError):
            return None
    return None


def _is_roots(folder: Path) -> bool:
    """By its credentials: the folder of a process that keeps its memory to itself is root's, whosever it is."""
    lines = (folder / "status").read_text().splitlines()
    return any(line.split() == ["Uid:", "0", "0", "0", "0"] for line in lines)


def _stat(folder: Path) -> list[str]:
    """The fields behind the program's name, which may hold anything: state, parent, … (proc(5))."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def _accepted(host: Host, login: int, user: str) -> str:
    """The fingerprint that this process of sshd said it took, by fields that the journal vouches for."""
    began = int(_stat(host.path(f"/proc/{login}"))[19]) / os.sysconf("SC_CLK_TCK")
    told = [
        "--boot",
        "--quiet",
        "--no-pager",
        "--output=json",
        "--reverse",
        "--lines=20",
        f"_PID={login}",
        "_UID=0",
    ]
    for waited in (False, True):
        if waited:
            run([host.journalctl, "--sync"], SECONDS)
        for line in run([host.journalctl, *told, "SYSLOG_IDENTIFIER=sshd"], SECONDS).output.splitlines():
            if taken := _said(line, user, began):
                return taken
    return ""


def _said(line: str, user: str, began: float) -> str:
    """began: seconds since the host started; what is older was another process of this number."""
    try:
        entry = json.loads(line)
        match = ACCEPTED.match(entry["MESSAGE"])
        moment = int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6
    except (ValueError, KeyError, TypeError):
        return ""
    # The clock of processes is coarser than the journal's.
    return match[2] if match and match[1] == user and moment > began - 1 else ""


def _names(host: Host, user: str) -> dict[str, str]:
    """By fingerprint, what root's file of this account's keys calls each; a name that is not plain is none."""
    try:
        lines = host.path(f"/etc/ssh/slipway-keys/{user}").read_text().splitlines()
    except (OSError, ValueError):
        return {}
    found = {}
    for words in (line.split() for line in lines if not line.startswith("#")):
        # Options may stand before the kind of the key; the key itself is known by how it begins.
        for key, name in pairwise(words):
            if key.startswith("AAAA") and NAME.fullmatch(name):
                found[_fingerprint(key)] = name
    return found


def _fingerprint(key: str) -> str:
    try:
        return fingerprint(base64.b64decode(key, validate=True))
    except ValueError:
        return ""
