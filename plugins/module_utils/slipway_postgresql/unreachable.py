"""What to tell a person when a cluster does not answer."""

from __future__ import annotations

import os
import shutil
import subprocess

from .connection import Server
from .quoting import printable

LOG_LINES = 5
LOG_TAIL_BYTES = 8192


def unit_name(server: Server) -> str:
    return f"postgresql@{server.version}-{server.cluster}"


def unit_state(unit: str) -> str:
    """`active`, `failed`, `inactive` … or `unknown` where systemd does not run."""
    if shutil.which("systemctl") is None:
        return "unknown"
    completed = subprocess.run(
        ["systemctl", "is-active", unit], capture_output=True, text=True, check=False, timeout=10
    )
    return completed.stdout.strip() or "unknown"


def log_tail(path: str) -> list[str]:
    try:
        with open(path, "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
            text = log.read().decode(errors="replace")
    except OSError:
        return []
    return [printable(line) for line in text.splitlines()[-LOG_LINES:]]


def cluster_exists(server: Server) -> bool:
    """Whether Debian's tools know the cluster."""
    return os.path.isdir(f"/etc/postgresql/{server.version}/{server.cluster}")


def sentence(server: Server, reason: str) -> str:
    unit, log = unit_name(server), f"/var/log/postgresql/postgresql-{server.version}-{server.cluster}.log"
    lines = log_tail(log)
    tail = f" Last lines of {log}: {' | '.join(lines)}." if lines else ""
    return (
        f"PostgreSQL {server.version}/{server.cluster} cannot be asked on port {server.port} in "
        f"{server.socket_directory}: {reason.rstrip('.')}. Its unit {unit} is {unit_state(unit)}.{tail} "
        f"Nothing more was changed. Look at: systemctl status {unit}; journalctl -u {unit} -n 50."
    )
