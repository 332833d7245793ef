"""What the copying host may ask of the database's: to read the repository, and to say what it has of it.

sshd starts this for whoever logs in as the copy's user, whatever they typed.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

from database_backup import files
from database_backup.copying.settings import Serving
from database_backup.errors import RefusedError

READ = "rsync --server --daemon ."
RECEIPT = "receipt"
MOST = 64 << 10
FIELDS: dict[str, type | tuple[type, ...]] = {
    "at": str, "ok": bool, "problem": str, "host": str, "system": str, "labels": list, "newest_segment": str,
    "bytes": int, "tried_at": str, "seconds": (int, float),
}  # fmt: skip


def serve(settings: Serving) -> str:
    """Does what was asked over SSH; of reading there is no way back. Raises RefusedError for anything else."""
    asked = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    if asked == READ:
        _read(settings)
    if asked != RECEIPT:
        raise RefusedError("This key copies the repository, and does nothing else. Nothing was changed.")
    files.write_whole(settings.receipt, receipt(sys.stdin.buffer.read(MOST + 1)))
    # db-status reads it as one user, and the program as another; there is nothing to hide in it.
    settings.receipt.chmod(0o644)
    return "Written."


def receipt(said: bytes) -> dict[str, Any]:
    """What the other host says it has, as far as it is what such a thing looks like. Raises RefusedError."""
    try:
        found = json.loads(said) if len(said) <= MOST else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or any(
        not isinstance(found.get(name), kind) for name, kind in FIELDS.items()
    ):
        raise RefusedError("That is no receipt of a copy. Nothing was changed.")
    return {name: found[name] for name in FIELDS}


def _read(settings: Serving) -> NoReturn:
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    # ssh's channel is its own: this process becomes rsync.
    os.execve("/usr/bin/rsync", [*READ.split()[:-1], f"--config={settings.daemon}", "."], environment)  # noqa: S606
