"""Backfills: a change to all rows of a table in short transactions, beside the running service.

A backfill is declared in code. Its progress is a row of `backfills`, written in the transaction of each
batch: a run that dies anywhere is gone on with exactly where it was. One run a backfill at a time, by an
advisory lock of its session. Rows that arrive meanwhile are met when their key comes after the position. A
row that a slower transaction commits behind it is met by the next pass, which begins while `left` still
finds one; the code of new releases fills what it writes itself.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from slipway_migrator.drivers import sqlstate
from slipway_migrator.errors import BackfillError
from slipway_migrator.pace import YIELD, Load, load, next_size, rest

# Lock not available, statement cancelled by its timeout, deadlock: nothing is wrong with the statement.
IN_THE_WAY = ("55P03", "57014", "40P01")
ATTEMPTS = 20
PASSES = 3
# The server notices within a second that a run was killed; the next one waits that long for its lock.
LIMITS = text("""
    SELECT set_config('lock_timeout', '500ms', true), set_config('statement_timeout', '5s', true),
      set_config('client_connection_check_interval', '1s', true)
""")
LOOKS, LOOK_SECONDS = 12, 0.25
PROGRESS = text("SELECT rows_done, passes, paused FROM backfills WHERE name = :name")
# Two numbers, so that it is never the migrator's: "bf" in ASCII, and the name's.
KEY = "25190, hashtext(CAST(:name AS text))"
LOCK = text(f"SELECT pg_try_advisory_lock({KEY})")
UNLOCK = text(f"SELECT pg_advisory_unlock({KEY})")
BEGUN = text("INSERT INTO backfills (name) VALUES (:name) ON CONFLICT DO NOTHING")
PAUSED = text(
    "INSERT INTO backfills (name, paused) VALUES (:name, :paused) "
    "ON CONFLICT (name) DO UPDATE SET paused = :paused"
)
ROWS = """
    SELECT name, position, passes, rows_done, batches_done, paused, started_at, updated_at, finished_at,
      EXISTS (SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND classid = 25190 AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND objid::bigint = (hashtext(name)::bigint & 4294967295)) AS running
    FROM backfills
"""
STATUS = text(ROWS + "WHERE name = :name")
ALL = text(ROWS + "ORDER BY name")


@dataclass(frozen=True)
class Backfill:
    """statement: changes the rows of a batch, for which {keys} stands: UPDATE orders SET … WHERE {keys}.

    key: a column with a unique index. left: a condition that holds for rows still to be changed, "" when
    there is none. All of them are SQL of this code, never a user's. size: the most rows of one batch.
    """

    name: str
    table: str
    key: str
    key_type: Literal["uuid", "bigint"]
    statement: str
    left: str = ""
    size: int = 1000


@dataclass(frozen=True)
class Step:
    """What a run says after a batch. rate: rows a second of this run; seconds_left: None if nobody knows."""

    rows: int
    rows_done: int
    load: Load
    rested: float
    rate: float
    seconds_left: float | None


Sleep = Callable[[float], object]
Tell = Callable[[Step], None]


class Run:
    """One run of one backfill over one connection, which holds its lock."""

    def __init__(self, backfill: Backfill, connection: Connection, tell: Tell, sleep: Sleep) -> None:
        self.backfill, self.connection, self.tell, self.sleep = backfill, connection, tell, sleep
        self.size, self.rows, self.began = backfill.size, 0, time.monotonic()

    def to_the_end(self) -> Literal["done", "paused"]:
        """Batch after batch until no row is left, or somebody pauses it."""
        while True:
            if self._is_paused():
                return "paused"
            began = time.monotonic()
            rows = self._batch_with_patience()
            if rows == 0 and self._finished():
                return "done"
            seconds = time.monotonic() - began
            self.size = next_size(self.size, seconds, self.backfill.size)
            self.rows += rows
            self._rest(rows, seconds)

    def _batch_with_patience(self) -> int:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self.connection.begin():
                    return self._batch()
            except DBAPIError as error:
                if sqlstate(error) not in IN_THE_WAY:
                    raise
            self.size = max(self.size // 2, 1)
            self.sleep(YIELD * attempt)
        own = self.backfill
        raise BackfillError(
            f"The backfill {own.name} gave up after {ATTEMPTS} attempts at one batch: somebody holds locks "
            f"on its rows of {own.table}, or the batch takes too long. What was done stays done. See who "
            f"holds them in pg_stat_activity, and type: backfill run {own.name}"
        )

    def _batch(self) -> int:
        own = self.backfill
        self.connection.execute(LIMITS)
        position = self._position()
        after = (
            f"{own.key} > CAST(CAST(:after AS text) AS {own.key_type})" if position is not None else "true"
        )
        ends = text(
            f"SELECT (array_agg({own.key}::text ORDER BY {own.key} DESC))[1] AS last, count(*) AS rows FROM ("  # noqa: S608
            f"SELECT {own.key} FROM {own.table} WHERE {after} ORDER BY {own.key} LIMIT :size) AS batch"
        )
        keys = {"after": position} if position is not None else {}
        batch = (self.connection.execute(ends, {**keys, "size": self.size})).one()
        if not batch.rows:
            return 0
        within = f"({after} AND {own.key} <= CAST(CAST(:last AS text) AS {own.key_type}))"
        statement = text(own.statement.replace("{keys}", within))
        self.connection.execute(statement, {**keys, "last": batch.last})
        self.connection.execute(
            text(
                "UPDATE backfills SET position = :last, rows_done = rows_done + :rows, "
                "batches_done = batches_done + 1, updated_at = now(), finished_at = NULL WHERE name = :name"
            ),
            {"last": batch.last, "rows": batch.rows, "name": own.name},
        )
        return int(batch.rows)

    def _finished(self) -> bool:
        """Whether no row is left; else the next pass begins."""
        own = self.backfill
        with self.connection.begin():
            found = f"SELECT EXISTS (SELECT FROM {own.table} WHERE {own.left})"  # noqa: S608
            if own.left and self.connection.scalar(text(found)):
                if (self._progress()).passes >= PASSES:
                    raise BackfillError(
                        f"The backfill {own.name} went over {own.table} {PASSES} times and still finds rows "
                        f"where {own.left}: either its statement does not change them, or a release that is "
                        "still live writes them. Nothing of it is running now."
                    )
                again = "UPDATE backfills SET position = NULL, passes = passes + 1 WHERE name = :name"
                self.connection.execute(text(again), {"name": own.name})
                return False
            done = "UPDATE backfills SET finished_at = now(), passes = 1 WHERE name = :name"
            self.connection.execute(text(done), {"name": own.name})
        return True

    def _rest(self, rows: int, seconds: float) -> None:
        with self.connection.begin():
            now = load(self.connection)
            progress = self._progress()
            expected = self.connection.scalar(
                text("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass(:table)"),
                {"table": self.backfill.table},
            )
        pause = rest(seconds, now)
        rate = self.rows / max(time.monotonic() - self.began, 0.001)
        left = max(int(expected or 0) - progress.rows_done, 0)
        known = bool(expected) and progress.passes == 1 and rate > 0
        self.tell(Step(rows, progress.rows_done, now, pause, rate, left / rate if known else None))
        self.sleep(pause)

    def _position(self) -> str | None:
        found = self.connection.scalar(
            text("SELECT position FROM backfills WHERE name = :name FOR UPDATE"), {"name": self.backfill.name}
        )
        return None if found is None else str(found)

    def _progress(self) -> Any:
        return (self.connection.execute(PROGRESS, {"name": self.backfill.name})).one()

    def _is_paused(self) -> bool:
        with self.connection.begin():
            return bool((self._progress()).paused)


def _become_the_only_run(connection: Connection, name: str) -> None:
    for _ in range(LOOKS):
        with connection.begin():
            if connection.scalar(LOCK, {"name": name}):
                connection.execute(BEGUN, {"name": name})
                return
        time.sleep(LOOK_SECONDS)
    raise BackfillError(f"The backfill {name} is running already. Nothing was begun.")


def run(
    connection: Connection, backfill: Backfill, tell: Tell = lambda _: None, sleep: Sleep = time.sleep
) -> Literal["done", "paused"]:
    """Run a backfill to its end, or until it is paused; from where it was. Raises BackfillError.

    connection: the service's, in no transaction. tell: hears of each batch. sleep: how the run rests between two.
    """
    _become_the_only_run(connection, backfill.name)
    try:
        return Run(backfill, connection, tell, sleep).to_the_end()
    finally:
        # A connection that is lost has lost its lock too.
        with suppress(DBAPIError), connection.begin():
            connection.execute(UNLOCK, {"name": backfill.name})


def set_paused(connection: Connection, name: str, paused: bool) -> None:
    """Have a backfill stop after its present batch and not begin again, or let it go on."""
    with connection.begin():
        connection.execute(PAUSED, {"name": name, "paused": paused})


def status(connection: Connection, name: str) -> dict[str, Any] | None:
    """Its row of `backfills`, and whether it is running; None before it was ever begun."""
    with connection.begin():
        row = connection.execute(STATUS, {"name": name}).mappings().one_or_none()
    return None if row is None else dict(row)
