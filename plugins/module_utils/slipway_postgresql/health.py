"""What the server says about its own files: settings, pg_hba.conf, pg_ident.conf, restarts that are due."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

# pg_file_settings comes first: reading it marks, in this session, each setting that waits for a restart.
# to_jsonb(row) takes the columns that the server's version has; pg_ident_file_mappings came with 15.
HEALTH_SQL = r"""SELECT coalesce(jsonb_agg(to_jsonb(f) || jsonb_build_object('context', s.context)
  ORDER BY f.seqno), '[]') FROM pg_file_settings f LEFT JOIN pg_settings s ON lower(s.name) = lower(f.name);
SELECT jsonb_build_object(
  'pending', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', name, 'now', current_setting(name),
    'default', boot_val) ORDER BY name), '[]') FROM pg_settings WHERE pending_restart),
  'loaded', extract(epoch FROM pg_conf_load_time()),
  'data_directory', current_setting('data_directory'),
  'config_file', current_setting('config_file'),
  'hba_file', current_setting('hba_file'),
  'ident_file', current_setting('ident_file'),
  'hba_errors', (SELECT coalesce(jsonb_agg(to_jsonb(h)), '[]')
    FROM pg_hba_file_rules h WHERE h.error IS NOT NULL));
SELECT current_setting('server_version_num')::int >= 150000 AS has_ident_view \gset
\if :has_ident_view
SELECT coalesce(jsonb_agg(to_jsonb(i)), '[]') FROM pg_ident_file_mappings i WHERE i.error IS NOT NULL;
\else
SELECT 'null';
\endif
"""

# The server's words both for a bad value and for a good one that only a restart can apply.
NOT_APPLIED = "setting could not be applied"


@dataclass(frozen=True)
class Health:
    """Faults are `file:line: message`; pending restarts are {name, setting_now, wanted}."""

    file_settings_errors: list[str]
    hba_errors: list[str]
    ident_errors: list[str]
    pending_restart: list[dict[str, str]]
    data_directory: str
    config_file: str
    ident_file: str
    loaded: float
    has_ident_view: bool

    @property
    def errors(self) -> list[str]:
        return self.file_settings_errors + self.hba_errors + self.ident_errors


def fault(row: dict[str, Any], file: str) -> str:
    return f"{row.get('file_name') or file}:{row['line_number']}: {row['error']}"


def wanted_by_file(rows: list[dict[str, Any]], name: str, default: str) -> str:
    """The value that the configuration files give `name` last, or its built-in default."""
    values = [row["setting"] for row in rows if (row["name"] or "").lower() == name.lower()]
    return str(values[-1]) if values else f"{default} (the default; no file sets it)"


def read_health(lines: list[str]) -> Health:
    """A Health from what HEALTH_SQL printed."""
    file_settings, state, ident = (json.loads(line) for line in lines)
    pending = {row["name"].lower() for row in state["pending"]}

    def waits_for_restart(row: dict[str, Any]) -> bool:
        return (
            row["error"] == NOT_APPLIED and row["context"] == "postmaster" and row["name"].lower() in pending
        )

    return Health(
        file_settings_errors=[
            f"{row['sourcefile']}:{row['sourceline']}: {row['name'] or 'the file'}: {row['error']}"
            for row in file_settings
            if row["error"] and not waits_for_restart(row)
        ],
        hba_errors=[fault(row, state["hba_file"]) for row in state["hba_errors"]],
        ident_errors=[fault(row, state["ident_file"]) for row in ident or []],
        pending_restart=[
            {
                "name": row["name"],
                "setting_now": row["now"],
                "wanted": wanted_by_file(file_settings, row["name"], row["default"]),
            }
            for row in state["pending"]
        ],
        data_directory=state["data_directory"],
        config_file=state["config_file"],
        ident_file=state["ident_file"],
        loaded=float(state["loaded"]),
        has_ident_view=ident is not None,
    )
