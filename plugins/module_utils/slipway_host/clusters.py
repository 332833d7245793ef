"""The PostgreSQL clusters of a host, and what is in them."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
from typing import Any

from ansible.module_utils.slipway_files import manifest

LIST = "/usr/bin/pg_lsclusters"
SETTINGS = "/etc/postgresql"
QUERY = (
    "SELECT datname, datcollate || ' ' || pg_encoding_to_char(encoding) FROM pg_database "
    "WHERE datname = 'template1' OR NOT datistemplate ORDER BY 1"
)
# What initdb and the package write, whatever the method for the loopback is by version.
STOCK = re.compile(
    r"local (all|replication) (all|postgres) (peer|trust|md5|scram-sha-256)"
    r"|host (all|replication) all (127\.0\.0\.1/32|::1/128) (md5|scram-sha-256|trust|ident)"
)
# The databases that initdb makes have lower numbers.
FIRST_OWN_DATABASE = 16384


def clusters() -> list[dict[str, Any]]:
    """Each cluster's name (14/main), port, whether it runs, and whether it is ours: its access rules are Slipway's.

    locale and databases are None when it says nothing; databases_not_asked counts those in its folder then.
    foreign_rules are the lines of a pg_hba.conf that is not ours and that the package did not write.
    """
    if not os.path.exists(LIST):
        return []
    said = subprocess.run([LIST, "--no-header"], capture_output=True, text=True, check=False).stdout
    services = {*manifest.services(), manifest.configured_before() or ""}
    written = {
        path: digest for app in services for path, digest in manifest.read(app, "postgresql").files.items()
    }
    return [_cluster(written, *line.split()[:6]) for line in said.splitlines() if len(line.split()) >= 6]


def _cluster(
    written: dict[str, str], version: str, name: str, port: str, status: str, owner: str, data: str
) -> dict[str, Any]:
    running = status.startswith("online")
    answer = _ask(port, owner) if running else None
    rules = f"{SETTINGS}/{version}/{name}/pg_hba.conf"
    ours = rules in written or _from_another_major(written, rules, name)
    return {
        "name": f"{version}/{name}",
        "port": int(port),
        "runs": running,
        "ours": ours,
        "locale": answer["template1"] if answer else None,
        "databases": sorted(set(answer) - {"postgres", "template1"}) if answer else None,
        "databases_not_asked": 0 if answer else _folders(data),
        "foreign_rules": [] if ours else foreign_rules(rules),
    }


def _from_another_major(written: dict[str, str], rules: str, name: str) -> bool:
    """Whether an upgrade copied these access rules, to the byte, from the cluster for which we wrote them."""
    digest = manifest.watched([rules]).get(rules)
    return any(
        digest == known and fnmatch.fnmatchcase(path, f"{SETTINGS}/*/{name}/pg_hba.conf")
        for path, known in written.items()
    )


def foreign_rules(path: str) -> list[str]:
    """The lines of a pg_hba.conf that are neither PostgreSQL's own nor the package's."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            lines = [" ".join(line.partition("#")[0].split()) for line in stream]
    except OSError:
        return []
    return [line for line in lines if line and not STOCK.fullmatch(line)]


def _folders(data: str) -> int:
    """How many databases but PostgreSQL's own lie in a cluster's folder."""
    try:
        return sum(int(name) >= FIRST_OWN_DATABASE for name in os.listdir(f"{data}/base") if name.isdigit())
    except OSError:
        return 0


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
