"""Backfills on a real server: killed, paused, two at once, rows that arrive meanwhile, a busy database."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from conftest import Database, run_shop
from shop.core import backfill, pace
from shop.core.backfill import Backfill, BackfillError, Step
from shop.core.backfill_standing import standing
from shop.core.database import create_engine
from shop.core.pace import LEAST, MOST, YIELD, Load

pytestmark = pytest.mark.anyio

ROWS = 500
TABLE = [
    "CREATE TABLE numbers (id bigint PRIMARY KEY, doubled bigint, touched int NOT NULL DEFAULT 0)",
    f"INSERT INTO numbers (id) SELECT n * 10 FROM generate_series(1, {ROWS}) n",
    "ANALYZE numbers",
]
DOUBLE = Backfill(
    name="double",
    table="numbers",
    key="id",
    key_type="bigint",
    statement="UPDATE numbers SET doubled = id * 2, touched = touched + 1 WHERE {keys}",
    left="doubled IS NULL",
    size=20,
)
# The command as an operator types it, in a release that declares this one backfill.
COMMAND = f"""
import sys
from shop import cli
from shop.cli.backfill import DECLARED
from shop.core.backfill import Backfill
DECLARED["double"] = {DOUBLE!r}
raise SystemExit(cli.main(["backfill", *sys.argv[1:]]))
"""
WAITING = "SELECT FROM pg_locks WHERE NOT granted"
WAIT_AT = """
CREATE FUNCTION wait_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 2510 THEN PERFORM pg_advisory_xact_lock(1); END IF;
    RETURN NEW;
END $$;
"""


def command(environ: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def nothing(_: float) -> None:
    """Rest without losing time."""


@pytest.fixture
async def numbers(database: Database) -> Database:
    """A database with a table to be filled."""
    await database.execute(*TABLE, "ALTER TABLE numbers OWNER TO shop_owner", "GRANT ALL ON numbers TO shop")
    return database


@asynccontextmanager
async def engine_of(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.settings())
    try:
        yield engine
    finally:
        await engine.dispose()


async def counts(database: Database) -> tuple[int, int, int]:
    """(rows that are right, rows that were changed more than once, rows)."""
    right, again = "count(*) FILTER (WHERE doubled = id * 2)", "count(*) FILTER (WHERE touched > 1)"
    (row,) = await database.fetch(f"SELECT {right}, {again}, count(*) FROM shop.numbers")
    return int(row[0]), int(row[1]), int(row[2])


async def until(database: Database, query: str, found: bool = True) -> None:
    """Wait until a query finds a row, or none."""
    with anyio.fail_after(60):
        while bool(await database.fetch(query)) != found:  # noqa: ASYNC110 - the server has no event for it
            await anyio.sleep(0.02)


async def test_every_row_is_changed_once_in_batches(numbers: Database) -> None:
    steps: list[Step] = []
    async with engine_of(numbers) as engine:
        assert await backfill.run(engine, DOUBLE, steps.append, nothing) == "done"
        row = await backfill.status(engine, "double")
    assert row is not None
    assert await counts(numbers) == (ROWS, 0, ROWS)
    assert (row["rows_done"], row["position"], row["running"]) == (ROWS, "5000", False)
    assert row["finished_at"] is not None
    assert max(step.rows for step in steps) == DOUBLE.size
    assert row["batches_done"] == len(steps)
    assert steps[-1].rows_done == ROWS
    assert steps[-1].seconds_left == 0


async def test_a_second_run_has_nothing_to_do_and_changes_nothing(numbers: Database) -> None:
    async with engine_of(numbers) as engine:
        for _ in range(2):
            assert await backfill.run(engine, DOUBLE, sleep=nothing) == "done"
    assert await counts(numbers) == (ROWS, 0, ROWS)


async def test_rows_that_arrive_before_and_behind_the_position_are_met(numbers: Database) -> None:
    arrived: list[int] = []

    async def arrive(_: float) -> None:
        if len(arrived) < 2:
            arrived.append(1)
            await numbers.execute(
                f"INSERT INTO numbers (id) VALUES ({len(arrived)}), ({100_000 + len(arrived)})"
            )

    async with engine_of(numbers) as engine:
        assert await backfill.run(engine, DOUBLE, sleep=arrive) == "done"
    right, _, rows = await counts(numbers)
    assert (right, rows) == (ROWS + 4, ROWS + 4)


async def test_a_statement_that_does_not_do_what_it_says_ends(numbers: Database) -> None:
    idle = Backfill(
        "idle", "numbers", "id", "bigint", "UPDATE numbers SET touched = 0 WHERE {keys}", "doubled IS NULL"
    )
    async with engine_of(numbers) as engine:
        with pytest.raises(BackfillError, match="went over numbers 3 times and still finds rows"):
            await backfill.run(engine, idle, sleep=nothing)


async def test_keys_of_the_type_uuid_are_gone_through_too(numbers: Database) -> None:
    await numbers.execute(
        "CREATE TABLE things (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), done boolean)",
        "INSERT INTO things (done) SELECT NULL FROM generate_series(1, 77)",
        "GRANT ALL ON things TO shop",
    )
    things = Backfill(
        "things", "things", "id", "uuid", "UPDATE things SET done = true WHERE {keys}", "done IS NULL", 10
    )
    async with engine_of(numbers) as engine:
        assert await backfill.run(engine, things, sleep=nothing) == "done"
        row = await backfill.status(engine, "things")
    assert row is not None
    assert (row["rows_done"], row["batches_done"]) == (77, 8)


async def test_a_pause_takes_effect_after_the_batch_and_it_goes_on_where_it_was(numbers: Database) -> None:
    async with engine_of(numbers) as engine, engine_of(numbers) as other:

        async def pause(_: float) -> None:
            await backfill.set_paused(other, "double", True)

        assert await backfill.run(engine, DOUBLE, sleep=pause) == "paused"
        right, _, _ = await counts(numbers)
        assert right == DOUBLE.size
        assert await backfill.run(engine, DOUBLE, sleep=nothing) == "paused"
        assert (await counts(numbers))[0] == DOUBLE.size
        await backfill.set_paused(other, "double", False)
        assert await backfill.run(engine, DOUBLE, sleep=nothing) == "done"
    assert await counts(numbers) == (ROWS, 0, ROWS)


async def test_of_two_at_once_one_is_refused(numbers: Database) -> None:
    refused: list[str] = []
    async with engine_of(numbers) as engine, engine_of(numbers) as other:

        async def a_second(_: float) -> None:
            if not refused:
                with pytest.raises(BackfillError) as failure:
                    await backfill.run(other, DOUBLE, sleep=nothing)
                refused.append(str(failure.value))
                row = await backfill.status(other, "double")
                assert row is not None
                assert row["running"] is True

        assert await backfill.run(engine, DOUBLE, sleep=a_second) == "done"
    assert refused == ["The backfill double is running already. Nothing was begun."]
    assert await counts(numbers) == (ROWS, 0, ROWS)


async def test_killed_in_the_middle_of_a_batch_it_goes_on_exactly_where_it_was(
    numbers: Database, tmp_path: Path
) -> None:
    # The row 2510 is in the middle of a batch: the run waits there for us, inside its transaction.
    await numbers.execute(
        WAIT_AT, "CREATE TRIGGER wait_at BEFORE UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION wait_at()"
    )
    environ = numbers.environ(tmp_path / "credentials", SHOP_DATABASE_STATEMENT_TIMEOUT="60000")
    connection = await numbers.cluster.connect(numbers.name)
    try:
        await connection.execute("SELECT pg_advisory_lock(1)")
        words = [sys.executable, "-c", COMMAND, "run", "double"]
        running = await anyio.open_process(words, env=environ, stdout=subprocess.DEVNULL)
        waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted"
        with anyio.fail_after(60):
            while not await connection.fetch(waits):
                assert running.returncode is None, "the run ended before the row"
                await anyio.sleep(0.02)
        os.kill(running.pid, signal.SIGKILL)
        await running.wait()
        right, _, _ = await counts(numbers)
        (row,) = await numbers.fetch("SELECT position::int, rows_done FROM shop.backfills")
        assert 0 < right < ROWS
        assert (row["position"], row["rows_done"]) == (right * 10, right)
    finally:
        await connection.close()
    # The server ends the killed run's session as soon as it writes to it, and its lock with it.
    await until(numbers, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 25190", found=False)
    done = await anyio.to_thread.run_sync(command, environ, "run", "double")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows_done"] == ROWS
    assert await counts(numbers) == (ROWS, 0, ROWS)


async def test_it_rests_longer_while_somebody_waits_for_a_lock(numbers: Database) -> None:
    rests: list[tuple[float, bool]] = []
    await numbers.execute("CREATE TABLE apart (id int)")
    holder, waiter = [await numbers.cluster.connect(numbers.name) for _ in range(2)]
    steps: list[Step] = []

    async def rest(seconds: float) -> None:
        rests.append((seconds, bool(steps[-1].load.waiting)))
        if len(rests) == 3:
            await holder.execute("COMMIT")
            await until(numbers, WAITING, found=False)

    try:
        await holder.execute("BEGIN; LOCK TABLE shop.apart")
        async with engine_of(numbers) as engine, anyio.create_task_group() as tasks:
            tasks.start_soon(waiter.execute, "BEGIN; LOCK TABLE shop.apart; COMMIT")
            await until(numbers, WAITING)
            assert await backfill.run(engine, DOUBLE, steps.append, rest) == "done"
    finally:
        holder.terminate()
        waiter.terminate()
    assert [busy for _, busy in rests[:3]] == [True, True, True]
    assert all(seconds >= YIELD for seconds, busy in rests if busy)
    assert not any(busy for _, busy in rests[3:])
    assert await counts(numbers) == (ROWS, 0, ROWS)


async def test_rows_that_somebody_locked_make_the_batch_smaller_until_it_gives_up(
    numbers: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "ATTEMPTS", 6)
    holder = await numbers.cluster.connect(numbers.name)
    try:
        async with holder.transaction(), engine_of(numbers) as engine:
            await holder.execute("SELECT FROM shop.numbers WHERE id = 300 FOR UPDATE")
            with pytest.raises(BackfillError, match="gave up after 6 attempts at one batch"):
                await backfill.run(engine, DOUBLE, sleep=nothing)
    finally:
        await holder.close()
    (row,) = await numbers.fetch("SELECT position::int, rows_done FROM shop.backfills")
    # In batches of ever fewer rows it has come to the very row that is held.
    assert row["position"] == 290
    assert (await counts(numbers))[0] == row["rows_done"] == 29
    async with engine_of(numbers) as engine:
        assert await backfill.run(engine, DOUBLE, sleep=nothing) == "done"
    assert await counts(numbers) == (ROWS, 0, ROWS)


@pytest.mark.parametrize(
    ("seconds", "load", "expected"),
    [
        (0.0, Load(), LEAST),
        (0.2, Load(), 0.2),
        (0.2, Load(active=2), 0.4),
        (0.2, Load(waiting=1), 1.2),
        (0.01, Load(waiting=1), YIELD),
        (0.2, Load(lag=0.5), 0.2),
        (0.2, Load(lag=7.0), 7.0),
        (5.0, Load(waiting=9, active=50), MOST),
    ],
)
async def test_the_rest_is_in_proportion_to_the_batch_and_the_load(
    seconds: float, load: Load, expected: float
) -> None:
    assert pace.rest(seconds, load) == pytest.approx(expected)


async def test_the_size_follows_the_time_within_its_bounds() -> None:
    assert [pace.next_size(8, 2.0, 100), pace.next_size(1, 2.0, 100)] == [4, 1]
    assert [pace.next_size(8, 0.01, 100), pace.next_size(80, 0.01, 100), pace.next_size(8, 0.3, 100)] == [
        16,
        100,
        8,
    ]


async def test_a_backfill_that_is_not_declared_is_refused(numbers: Database, tmp_path: Path) -> None:
    environ = numbers.environ(tmp_path / "credentials")
    done = await anyio.to_thread.run_sync(run_shop, "backfill", environ, "run", "none-such")
    assert done.returncode == 1
    assert "There is no backfill 'none-such' in this release" in done.stderr


async def test_the_status_of_all_says_how_far_each_is_and_what_is_to_be_done(
    numbers: Database, tmp_path: Path
) -> None:
    environ = numbers.environ(tmp_path / "credentials")

    async def row() -> dict[str, object]:
        done = await anyio.to_thread.run_sync(command, environ, "status")
        assert done.returncode == 0, done.stderr
        (found,) = json.loads(done.stdout)["backfills"]
        return dict(found)

    began = await row()
    assert (began["name"], began["table"], began["state"], began["rows"]) == (
        "double",
        "numbers",
        "not begun",
        ROWS,
    )
    assert "rows_done" not in began
    await anyio.to_thread.run_sync(command, environ, "pause", "double")
    assert (await row())["state"] == "paused"
    done = await anyio.to_thread.run_sync(command, environ, "resume", "double")
    assert done.returncode == 0, done.stderr
    found = await row()
    assert (found["state"], found["percent"], found["rows_done"], found["rows_per_second"]) == (
        "done",
        100,
        ROWS,
        None,
    )


async def test_the_status_measures_a_run_that_goes_on_and_one_that_was_cut_is_stopped(
    numbers: Database,
) -> None:
    began, go_on = anyio.Event(), anyio.Event()

    async def held(_: float) -> None:
        began.set()
        await go_on.wait()

    async def while_it_goes_on(_: float) -> None:
        await numbers.execute("UPDATE shop.backfills SET rows_done = rows_done + 60")

    async with engine_of(numbers) as engine, engine_of(numbers) as other, anyio.create_task_group() as tasks:
        tasks.start_soon(backfill.run, engine, DOUBLE, lambda _: None, held)
        await began.wait()
        (found,) = await standing(other, {"double": DOUBLE}, while_it_goes_on)
        assert (found["state"], found["rows_per_second"], found["percent"]) == ("running", 30, 16)
        await backfill.set_paused(other, "double", True)
        (found,) = await standing(other, {"double": DOUBLE}, nothing)
        assert (found["state"], found["rows_per_second"]) == ("pausing", 0)
        await backfill.set_paused(other, "double", False)
        tasks.cancel_scope.cancel()
    async with engine_of(numbers) as engine:
        # Of another release: its row is there, its table is not known.
        (found,) = await standing(engine, {}, nothing)
    assert (found["state"], found["declared"], found["table"], found["percent"]) == (
        "stopped",
        False,
        None,
        None,
    )


async def test_only_the_status_goes_without_a_name(numbers: Database, tmp_path: Path) -> None:
    done = await anyio.to_thread.run_sync(command, numbers.environ(tmp_path / "credentials"), "pause")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Which backfill? Type: shop backfill pause NAME. Nothing was changed." in done.stderr
