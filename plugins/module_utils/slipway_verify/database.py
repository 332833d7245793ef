"""The database, asked as the user who may look at everything and change nothing."""

from __future__ import annotations

import subprocess
from typing import Any

from .running import run

# One row for each complaint, and one that begins with LEFT: how many connections there are for everybody.
LEFT = "connections="
QUERY = """
SELECT 'it is version ' || current_setting('server_version') || ', not {version}: see postgresql_version'
  WHERE current_setting('server_version_num')::int / 10000 <> {version}
UNION ALL SELECT 'its encoding is ' || pg_encoding_to_char(encoding)
    || ', not UTF8: dump it and restore it into a new one'
  FROM pg_database WHERE datname = current_database() AND pg_encoding_to_char(encoding) <> 'UTF8'
UNION ALL SELECT 'its data has no checksums: pg_checksums --enable, while it is stopped'
  WHERE current_setting('data_checksums') <> 'on'
UNION ALL SELECT name || ' waits for a restart: docs/runbooks/postgresql-waits-for-a-restart.md'
  FROM pg_settings WHERE pending_restart
UNION ALL SELECT file.name || ' is ' || current_setting(file.name) || ' because of ' || now.sourcefile
    || ', not as the inventory says: ALTER SYSTEM RESET ' || file.name
  FROM pg_file_settings AS file JOIN pg_settings AS now USING (name)
  WHERE file.sourcefile LIKE '%/conf.d/slipway.conf' AND now.sourcefile <> file.sourcefile
UNION ALL SELECT 'pg_hba.conf line ' || line_number || ': ' || error || ': run site.yml'
  FROM pg_hba_file_rules WHERE error IS NOT NULL
UNION ALL SELECT 'connections='
    || current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""

# The service's connections, and those of them that are in use and yet older than the hour after which pools renew one.
SESSIONS = """
SELECT count(*), count(*) FILTER (
    WHERE state_change > now() - interval '1 min' AND backend_start < now() - interval '70 min')
  FROM pg_stat_activity WHERE datname = current_database() AND usename IN ('{app}', '{app}_b')
"""


def database(wanted: dict[str, Any]) -> tuple[list[str], int | None]:
    """Complaints, and the connections that max_connections leaves; None when the server does not answer."""
    answer = _ask(wanted, QUERY.format(version=int(wanted["version"])))
    if answer.returncode != 0:
        return [f"PostgreSQL does not answer ({answer.stderr.strip()}): journalctl -u {wanted['unit']}"], None
    rows = answer.stdout.splitlines()
    left = next(int(row.removeprefix(LEFT)) for row in rows if row.startswith(LEFT))
    return [f"PostgreSQL: {row}" for row in rows if not row.startswith(LEFT)], left


def sessions(wanted: dict[str, Any], app: str) -> dict[str, Any]:
    """{all, old}: the service's connections, and how many were not renewed; or {problem}."""
    answer = _ask(wanted, SESSIONS.format(app=app))
    if answer.returncode != 0:
        return {"problem": f"PostgreSQL does not answer ({answer.stderr.strip()})"}
    of_all, old = answer.stdout.strip().split("|")
    return {"all": int(of_all), "old": int(old)}


def _ask(wanted: dict[str, Any], query: str) -> subprocess.CompletedProcess[str]:
    return run(
        "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--no-password", "--username=slipway_ops",
        f"--port={wanted['port']}", f"--dbname={wanted['name']}", f"--command={query}",
    )  # fmt: skip
