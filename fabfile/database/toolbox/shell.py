"""`fab db-shell`: psql on this machine, through the forwarded socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

from fabfile.database.asking.connection import Tunnel
from fabfile.errors import RefusedError

# Roles that the deploying user may be on the host; the first is the default.
ROLES = ("slipway_ops", "slipway_backup", "slipway_signal")


def program() -> str:
    """psql's path. Raises RefusedError when this machine has none."""
    found = shutil.which("psql")
    if not found:
        raise RefusedError(
            "There is no psql on this machine; on Debian and Ubuntu: apt-get install postgresql-client. "
            "Nothing was changed."
        )
    return found


def checked(role: str) -> str:
    """The role. Raises RefusedError for one that nobody can be from here."""
    if role not in ROLES:
        raise RefusedError(f"--role {role} is none of {', '.join(ROLES)}. Nothing was changed.")
    return role


def run(tunnel: Tunnel, role: str) -> int:
    """Run psql to its end, read-only unless somebody says otherwise in it; its exit code."""
    # What the caller's shell says of other databases is not meant for this one.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    keeps = {name: os.environ[name] for name in ("PGCLIENTENCODING",) if name in os.environ}
    settings = {
        "PGHOST": str(tunnel.socket),
        "PGPORT": str(tunnel.database.port),
        "PGUSER": role,
        "PGDATABASE": tunnel.database.name,
        "PGAPPNAME": "slipway db-shell",
        "PGOPTIONS": "-cdefault_transaction_read_only=on",
    }
    # Ctrl-C ends a statement in psql, and not psql.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.run([program()], env=own | keeps | settings, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)
