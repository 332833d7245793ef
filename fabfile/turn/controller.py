"""Which process this is, told so that no other one anywhere is taken for it."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path

# Given to nobody else, also where two machines have one name and two processes one number.
NONCE = secrets.token_hex(16)


def process() -> str:
    """PID@HOST, for a person to find it by."""
    return f"{os.getpid()}@{socket.gethostname()}"


def machine(proc: Path = Path("/proc"), machine_id: Path = Path("/etc/machine-id")) -> str:
    """The same for two processes that can see each other in /proc, and else not; "" where nobody can tell.

    Cloned machines and containers share a machine-id: the boot and the namespace of the process numbers count too.
    """
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii")
        namespace = os.readlink(proc / "self/ns/pid")
    except OSError:
        return ""
    try:
        installed = machine_id.read_text(encoding="ascii")
    except OSError:
        installed = ""
    return hashlib.sha256(f"{installed}{boot}{namespace}".encode()).hexdigest()[:32]


def is_gone(named: str, on: str) -> bool:
    """True when that process ran where this one does (on: its machine), and has ended."""
    number = named.partition("@")[0]
    return bool(on) and on == machine() and number.isdigit() and not Path(f"/proc/{number}").exists()


def life(named: str, on: str) -> str:
    """What can be seen from here of whether it lives, in a sentence."""
    if not on or on != machine():
        host = named.partition("@")[2]
        return f"Whether that process lives can be seen on {host or 'its own machine'}."
    return "That process is gone." if is_gone(named, on) else "That process is alive."
