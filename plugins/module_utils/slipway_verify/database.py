"""The database, asked as the user who may look at everything and change nothing."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.slipway_verify.running import run

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


def database(wanted: dict[str, Any]) -> tuple[list[str], int | None]:
    """Complaints, and the connections that max_connections leaves; None when the server does not answer."""
    answer = run(
        "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--no-password", "--username=slipway_ops",
        f"--port={wanted['port']}", f"--dbname={wanted['name']}",
        f"--command={QUERY.format(version=int(wanted['version']))}",
    )  # fmt: skip
    if answer.returncode != 0:
        return [f"PostgreSQL does not answer ({answer.stderr.strip()}): journalctl -u {wanted['unit']}"], None
    rows = answer.stdout.splitlines()
    left = next(int(row.removeprefix(LEFT)) for row in rows if row.startswith(LEFT))
    return [f"PostgreSQL: {row}" for row in rows if not row.startswith(LEFT)], left
