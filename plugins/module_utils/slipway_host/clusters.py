"""The PostgreSQL clusters of a host, and what is in those that run."""

from __future__ import annotations

import os
import subprocess
from typing import Any

LIST = "/usr/bin/pg_lsclusters"
QUERY = (
    "SELECT datname, datcollate || ' ' || pg_encoding_to_char(encoding) FROM pg_database "
    "WHERE datname = 'template1' OR NOT datistemplate ORDER BY 1"
)


def clusters() -> list[dict[str, Any]]:
    """Each cluster's name (14/main), port, whether it runs; its locale and databases, None when it says nothing."""
    if not os.path.exists(LIST):
        return []
    said = subprocess.run([LIST, "--no-header"], capture_output=True, text=True, check=False).stdout
    return [_cluster(*line.split()[:5]) for line in said.splitlines() if len(line.split()) >= 5]


def _cluster(version: str, name: str, port: str, status: str, owner: str) -> dict[str, Any]:
    running = status.startswith("online")
    answer = _ask(port, owner) if running else None
    return {
        "name": f"{version}/{name}",
        "port": int(port),
        "runs": running,
        "locale": answer["template1"] if answer else None,
        "databases": sorted(set(answer) - {"postgres", "template1"}) if answer else None,
    }


def _ask(port: str, owner: str) -> dict[str, str] | None:
    """{database: locale and encoding}; None when the server does not answer."""
    command = ["runuser", f"--user={owner}", "--", "psql", "--no-psqlrc", "--tuples-only", "--no-align"]
    command += ["--no-password", f"--port={port}", f"--command={QUERY}", "postgres"]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd="/", timeout=20,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PGCONNECT_TIMEOUT": "10"},
        )  # fmt: skip
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    rows = dict(line.rsplit("|", 1) for line in said.stdout.splitlines() if "|" in line)
    return rows if said.returncode == 0 and "template1" in rows else None
