"""Where backfills stand: what the table `backfills` says, how large their tables are, how fast they go."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, text

from slipway_migrator.backfill import ALL, Backfill

# Long enough for a batch and its rest.
SAMPLE_SECONDS = 2.0
# A table that was never analysed says -1.
SIZE = text("SELECT nullif(greatest(reltuples, 0), 0)::bigint FROM pg_class WHERE oid = to_regclass(:table)")

Rows = dict[str, dict[str, Any]]
Sleep = Callable[[float], object]


def standing(
    connection: Connection, declared: Mapping[str, Backfill], sleep: Sleep = time.sleep
) -> list[dict[str, Any]]:
    """Every backfill that is declared or was begun, by name.

    Each is its row of `backfills` (nothing of it when it was never begun) and: declared; table; state, one of
    "not begun", "running", "pausing", "paused", "stopped", "done"; rows, as many as are thought there;
    percent, None when nobody knows; rows_per_second of the last two seconds, None when it is not running.
    """
    before = after = _rows(connection)
    if any(row["running"] for row in before.values()):
        sleep(SAMPLE_SECONDS)
        after = _rows(connection)
    with connection.begin():
        sizes = {own.table: connection.scalar(SIZE, {"table": own.table}) for own in declared.values()}
    found = []
    for name in sorted({*declared, *after}):
        row, table = after.get(name, {}), declared[name].table if name in declared else None
        state, rows = _state(row), sizes.get(table or "")
        more = row.get("rows_done", 0) - before.get(name, row).get("rows_done", 0)
        found.append(
            {
                "name": name,
                **row,
                "declared": name in declared,
                "table": table,
                "state": state,
                "rows": rows,
                "percent": _percent(state, row, rows),
                "rows_per_second": round(more / SAMPLE_SECONDS) if row.get("running") else None,
            }
        )
    return found


def _rows(connection: Connection) -> Rows:
    with connection.begin():
        return {row["name"]: dict(row) for row in connection.execute(ALL).mappings()}


def _state(row: Mapping[str, Any]) -> str:
    if not row:
        return "not begun"
    if row["running"]:
        return "pausing" if row["paused"] else "running"
    if row["paused"]:
        return "paused"
    return "done" if row["finished_at"] else "stopped"


def _percent(state: str, row: Mapping[str, Any], rows: int | None) -> int | None:
    if state == "done":
        return 100
    # A further pass counts rows again; and what the server thinks a table has may be too little.
    if not rows or row.get("passes", 1) > 1:
        return None
    return int(min(100 * row.get("rows_done", 0) / rows, 99))
