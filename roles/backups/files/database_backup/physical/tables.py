# ruff: noqa: S608 -- a table's name is of plain letters, and quoted; the rest is quoted by the server
"""One table out of a restored cluster: its rows in the live database, as a table of their own."""

from __future__ import annotations

import re
import subprocess
from typing import Any

from database_backup import lock, words
from database_backup.errors import FailedError, RefusedError
from database_backup.physical import side, state
from database_backup.physical.restoring import LOCK
from database_backup.physical.settings import Settings
from database_backup.physical.side import Side
from database_backup.server import Session, command, environment, shown

SCHEMA = "restored"
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}\.[a-z_][a-z0-9_]{0,62}")
DOING = "restore of a table"
# The rows, and the same again as WAL.
COPIES = 2
SPARE = 256 << 20
SHOWN = 12

# What a psql variable names is quoted by psql; `named` is schema.table, of two plain words.
FOUND = """
WITH wanted AS (SELECT oid FROM pg_class WHERE oid = to_regclass(:'named') AND relkind IN ('r', 'p'))
SELECT json_build_object(
  'columns', string_agg(format('%I %s%s', attname, format_type(atttypid, atttypmod),
    CASE WHEN attcollation <> typcollation THEN format(' COLLATE %I.%I', cn.nspname, collname) END),
    ', ' ORDER BY attnum),
  'list', string_agg(quote_ident(attname), ', ' ORDER BY attnum),
  'bytes', (SELECT coalesce(sum(pg_table_size(relid)), 0) FROM wanted, pg_partition_tree(wanted.oid)))
FROM wanted JOIN pg_attribute ON attrelid = wanted.oid AND attnum > 0 AND NOT attisdropped
JOIN pg_type t ON t.oid = atttypid
LEFT JOIN pg_collation c ON c.oid = attcollation LEFT JOIN pg_namespace cn ON cn.oid = collnamespace
HAVING count(*) > 0;
"""
THERE = """
SELECT to_json(format('%I.%I', schemaname, tablename)) FROM pg_tables
WHERE schemaname <> 'information_schema' AND schemaname !~ '^pg_' ORDER BY 1::text;
"""
TAKEN = "SELECT to_json(to_regclass(:'named') IS NOT NULL);"
OWNER = """
SELECT to_json(quote_ident(pg_get_userbyid(
  coalesce((SELECT nspowner FROM pg_namespace WHERE nspname = :'schema'), datdba))))
FROM pg_database WHERE datname = current_database();
"""
COUNTED = """DO $$ DECLARE came bigint := (SELECT count(*) FROM {target}); BEGIN
IF came <> {rows} THEN RAISE EXCEPTION '% rows came, of {rows}', came; END IF; END $$"""


def bring(settings: Settings, name: str, table: str) -> dict[str, Any]:
    """Copies a table's rows out of the cluster `name` into restored.TABLE of the live database, in one transaction.

    table: schema.table. Columns and their types come along; keys, defaults and indexes do not. Raises RefusedError
    before anything changed, FailedError with what is left, LockHeldError.
    """
    if not NAME.fullmatch(table):
        raise RefusedError(
            f"{table!r} is no table with its schema, such as sales.orders. Nothing was changed."
        )
    with lock.held(settings.folder / LOCK, f"a restore of {settings.stanza}"):
        found = _running(settings, name)
        target = f"{SCHEMA}.{table.rpartition('.')[2]}"
        with Session(settings.server(), settings.database, DOING) as session:
            (taken,) = session.rows(TAKEN, named=target)
            (owner,) = session.rows(OWNER, schema=table.partition(".")[0])
        if taken:
            raise RefusedError(
                f"{target} is there already, from a restore before. Nothing was changed. When it is no longer "
                f"needed, as its owner: DROP TABLE {target}"
            )
        shape = _shape(settings, found, table)
        _refuse_for_room(settings, table, int(shape["bytes"]))
        _copy(settings, found, table, target, shape, str(owner))
    detail = (
        f"{target} of the live database holds {table} as of {found.about['target']}: {shape['rows']} rows, "
        f"without keys and indexes; {table} itself was not touched. Its owner is {owner}. When all is back: "
        f"DROP TABLE {target}, and fab db-restore --remove={name}"
    )
    return {"name": name, "table": target, "rows": shape["rows"], "bytes": shape["bytes"], "detail": detail}


def _running(settings: Settings, name: str) -> Side:
    """The restored cluster of that name. Raises RefusedError when there is none that answers."""
    there = {each.name: each for each in side.all_of(settings)}
    found = there.get(name)
    if found is None or (found.folder / side.UNFINISHED).exists():
        raise RefusedError(
            f"There is no restored cluster {name!r}; there is {', '.join(there) or 'none'}. Nothing was changed. "
            "A moment makes one: fab db-restore --time=… --into=NAME"
        )
    if not side.recovered(settings, found.socket, int(found.about["port"])):
        raise RefusedError(
            f"The restored cluster {name} does not run. Nothing was changed. Restore it anew: "
            f"fab db-restore --remove={name}, then the moment again."
        )
    return found


def _shape(settings: Settings, found: Side, table: str) -> dict[str, Any]:
    """{"columns": as CREATE TABLE has them, "list": their names, "bytes", "rows"}. Raises RefusedError without it."""
    where = settings.server(found.socket, int(found.about["port"]))
    with Session(where, settings.database, DOING) as session:
        shape = session.rows(FOUND, named=table)
        if not shape:
            tables = session.rows(THERE)
            raise RefusedError(
                f"There was no table {table} then. Nothing was changed; the restored cluster {found.name} is there. "
                f"It has {', '.join(tables[:SHOWN]) or 'no tables'}{' and more' if len(tables) > SHOWN else ''}."
            )
        (rows,) = session.rows(f"SELECT to_json(count(*)) FROM {_quoted(table)};")
    return {**shape[0], "rows": rows}


def _quoted(table: str) -> str:
    """A name that NAME has let through may be a word of SQL, such as "order"."""
    return ".".join(f'"{part}"' for part in table.split("."))


def _refuse_for_room(settings: Settings, table: str, size: int) -> None:
    """A disk that fills stops the live server."""
    needed, room = COPIES * size + SPARE, state.free(settings.data)
    if room < needed:
        raise RefusedError(
            f"{table} and its WAL take {words.size(needed)}, and {settings.data} has {words.size(room)} free. "
            "Nothing was changed. Free some first, or take single rows out of the restored cluster by psql."
        )


def _copy(
    settings: Settings, found: Side, table: str, target: str, shape: dict[str, Any], owner: str
) -> None:
    """All rows or no table. Raises FailedError."""
    live, where = settings.server(), settings.server(found.socket, int(found.about["port"]))
    made = _quoted(target)
    source = f"COPY (SELECT {shape['list']} FROM {_quoted(table)}) TO STDOUT (FORMAT binary)"
    steps = (
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION {owner}",
        f"CREATE TABLE {made} ({shape['columns']})",
        f"COPY {made} FROM STDIN (FORMAT binary)",
        # A stream that was cut between two rows looks like its end.
        COUNTED.format(target=made, rows=shape["rows"]),
        f"ALTER TABLE {made} OWNER TO {owner}",
        f"COMMENT ON TABLE {made} IS '{table} as of {found.about['target'].replace(chr(39), '')}'",
    )
    plain = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={settings.database}")
    with subprocess.Popen(
        command(where, "psql", *plain, f"--command={source}"), env=environment(where, DOING),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as reading:  # fmt: skip
        done = subprocess.run(
            command(live, "psql", *plain, "--single-transaction", *(f"--command={each}" for each in steps)),
            env=environment(live, DOING), stdin=reading.stdout, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert reading.stdout is not None
        assert reading.stderr is not None
        reading.stdout.close()
        said = reading.stderr.read().decode(errors="replace")
    if done.returncode != 0:
        raise FailedError(
            f"{table} was not brought back: {shown(done.stderr + said)}. The live database is as it was, and "
            f"the restored cluster {found.name} is there."
        )
