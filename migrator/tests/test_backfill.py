"""Backfills on a real server: killed, paused, two at once, rows that arrive meanwhile, a busy database."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from conftest import RELEASE, Database, Service, session, started
from slipway_migrator import Backfill, address, backfill, pace, project
from slipway_migrator.backfill import Step
from slipway_migrator.backfill_commands import _prepared
from slipway_migrator.drivers import connected
from slipway_migrator.errors import BackfillError
from slipway_migrator.pace import LEAST, MOST, YIELD, Load
from slipway_migrator.standing import standing

ROWS = 500
TABLE = [
    "CREATE TABLE numbers (id bigint PRIMARY KEY, doubled bigint, touched int NOT NULL DEFAULT 0)",
    f"INSERT INTO numbers (id) SELECT n * 10 FROM generate_series(1, {ROWS}) n",
    "ANALYZE numbers",
    "GRANT ALL ON numbers TO notes",
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
DECLARED = f"from slipway_migrator import Backfill\nDECLARED = {{'double': {DOUBLE!r}}}\n"
WAITING = "SELECT FROM pg_locks WHERE NOT granted"
LOCK = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 25190"
WAIT_AT = """
CREATE FUNCTION wait_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 2510 THEN PERFORM pg_advisory_xact_lock(1); END IF;
    RETURN NEW;
END $$;
"""
TRIGGER = "CREATE TRIGGER wait_at BEFORE UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION wait_at()"

T = TypeVar("T")


def nothing(_: float) -> None:
    """Rest without losing time."""


@pytest.fixture
def filling(service: Service) -> Service:
    """A service that declares one backfill."""
    with (service.folder / "pyproject.toml").open("a") as file:
        file.write('[tool.slipway]\nbackfills = "filling:DECLARED"\n')
    (service.folder / "filling.py").write_text(DECLARED)
    service.revise("pass")
    return service


@pytest.fixture
def numbers(filling: Service, database: Database) -> Database:
    """A migrated database with a table to be filled."""
    filling.migrated(database)
    database.execute(*TABLE)
    return database


@pytest.fixture(params=["psycopg", "psycopg2", "asyncpg"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def through(
    service: Service, database: Database, work: Callable[[Connection], T], driver: str = "psycopg"
) -> T:
    """work(connection), as the service's role."""
    own = project.load(service.folder)
    settings = address.read(own, "rows", database.environ())
    engine = address.engine_of(address.url_of(settings, driver))
    return connected(engine, lambda link: work(_prepared(link, own, settings)))


def counts(database: Database) -> tuple[int, int, int]:
    """(rows that are right, rows that were changed more than once, rows)."""
    right, again = "count(*) FILTER (WHERE doubled = id * 2) AS r", "count(*) FILTER (WHERE touched > 1) AS a"
    (row,) = database.fetch(f"SELECT {right}, {again}, count(*) FROM numbers")
    return row["r"], row["a"], row["count"]


def test_every_row_is_changed_once_in_batches_with_each_driver(
    filling: Service, numbers: Database, driver: str
) -> None:
    steps: list[Step] = []

    def work(link: Connection) -> Any:
        assert backfill.run(link, DOUBLE, steps.append, nothing) == "done"
        return backfill.status(link, "double")

    row = through(filling, numbers, work, driver)
    assert counts(numbers) == (ROWS, 0, ROWS)
    assert (row["rows_done"], row["position"], row["running"]) == (ROWS, "5000", False)
    assert row["finished_at"] is not None
    assert max(step.rows for step in steps) == DOUBLE.size
    assert row["batches_done"] == len(steps)
    assert (steps[-1].rows_done, steps[-1].seconds_left) == (ROWS, 0)
    assert through(filling, numbers, lambda link: backfill.run(link, DOUBLE, sleep=nothing), driver) == "done"
    assert counts(numbers) == (ROWS, 0, ROWS), "a second run changed something"


def test_rows_that_arrive_before_and_behind_the_position_are_met(filling: Service, numbers: Database) -> None:
    arrived: list[int] = []

    def arrive(_: float) -> None:
        if len(arrived) < 2:
            arrived.append(1)
            numbers.execute(f"INSERT INTO numbers (id) VALUES ({len(arrived)}), ({100_000 + len(arrived)})")

    assert through(filling, numbers, lambda link: backfill.run(link, DOUBLE, sleep=arrive)) == "done"
    right, _, rows = counts(numbers)
    assert (right, rows) == (ROWS + 4, ROWS + 4)


def test_a_statement_that_does_not_do_what_it_says_ends(filling: Service, numbers: Database) -> None:
    idle = Backfill(
        "idle", "numbers", "id", "bigint", "UPDATE numbers SET touched = 0 WHERE {keys}", "doubled IS NULL"
    )
    with pytest.raises(BackfillError, match="went over numbers 3 times and still finds rows"):
        through(filling, numbers, lambda link: backfill.run(link, idle, sleep=nothing))


def test_keys_of_the_type_uuid_are_gone_through_too(filling: Service, numbers: Database) -> None:
    numbers.execute(
        "CREATE TABLE things (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), done boolean)",
        "INSERT INTO things (done) SELECT NULL FROM generate_series(1, 77)",
        "GRANT ALL ON things TO notes",
    )
    things = Backfill(
        "things", "things", "id", "uuid", "UPDATE things SET done = true WHERE {keys}", "done IS NULL", 10
    )

    def work(link: Connection) -> Any:
        assert backfill.run(link, things, sleep=nothing) == "done"
        return backfill.status(link, "things")

    row = through(filling, numbers, work)
    assert (row["rows_done"], row["batches_done"]) == (77, 8)


def test_a_pause_takes_effect_after_the_batch_and_it_goes_on_where_it_was(
    filling: Service, numbers: Database
) -> None:
    def set_paused(paused: bool) -> None:
        through(filling, numbers, lambda link: backfill.set_paused(link, "double", paused))

    def work(sleep: Callable[[float], object]) -> str:
        return through(filling, numbers, lambda link: backfill.run(link, DOUBLE, sleep=sleep))

    assert work(lambda _: set_paused(True)) == "paused"
    assert counts(numbers)[0] == DOUBLE.size
    assert work(nothing) == "paused"
    assert counts(numbers)[0] == DOUBLE.size
    set_paused(False)
    assert work(nothing) == "done"
    assert counts(numbers) == (ROWS, 0, ROWS)


def test_of_two_at_once_one_is_refused(filling: Service, numbers: Database) -> None:
    refused: list[str] = []

    def a_second(_: float) -> None:
        if not refused:
            with pytest.raises(BackfillError) as failure:
                through(filling, numbers, lambda link: backfill.run(link, DOUBLE, sleep=nothing))
            refused.append(str(failure.value))
            row = through(filling, numbers, lambda link: backfill.status(link, "double"))
            assert row is not None
            assert row["running"] is True

    assert through(filling, numbers, lambda link: backfill.run(link, DOUBLE, sleep=a_second)) == "done"
    assert refused == ["The backfill double is running already. Nothing was begun."]
    assert counts(numbers) == (ROWS, 0, ROWS)


def test_killed_in_the_middle_of_a_batch_it_goes_on_exactly_where_it_was(
    filling: Service, numbers: Database
) -> None:
    # The row 2510 is in the middle of a batch: the run waits there for us, inside its transaction.
    numbers.execute(WAIT_AT, TRIGGER)
    with (
        session(numbers, "SELECT pg_advisory_lock(1)"),
        started(filling, numbers.environ(), "backfill", "run", "double") as process,
    ):
        numbers.until("SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted")
        process.kill()
        process.communicate()
        right, _, _ = counts(numbers)
        (row,) = numbers.fetch("SELECT position::int, rows_done FROM backfills")
        assert 0 < right < ROWS
        assert (row["position"], row["rows_done"]) == (right * 10, right)
    # The server ends the killed run's session as soon as it writes to it, and its lock with it.
    numbers.until(LOCK, found=False)
    done = filling.run(numbers.environ(), "backfill", "run", "double")
    assert done.result["rows_done"] == ROWS
    assert done.events("backfill_progress")[0]["release"] == RELEASE
    assert counts(numbers) == (ROWS, 0, ROWS)


def test_it_rests_longer_while_somebody_waits_for_a_lock(filling: Service, numbers: Database) -> None:
    rests: list[tuple[float, bool]] = []
    steps: list[Step] = []
    numbers.execute("CREATE TABLE apart (id int)")
    with session(numbers, "BEGIN", "LOCK TABLE apart") as holder, session(numbers) as waiter:

        def rest(seconds: float) -> None:
            rests.append((seconds, bool(steps[-1].load.waiting)))
            if len(rests) == 3:
                holder.execute("COMMIT")
                numbers.until(WAITING, found=False)

        thread = threading.Thread(target=waiter.execute, args=["LOCK TABLE apart"], daemon=True)
        waiter.execute("BEGIN")
        thread.start()
        numbers.until(WAITING)
        assert (
            through(filling, numbers, lambda link: backfill.run(link, DOUBLE, steps.append, rest)) == "done"
        )
        thread.join(60)
    assert [busy for _, busy in rests[:3]] == [True, True, True]
    assert all(seconds >= YIELD for seconds, busy in rests if busy)
    assert not any(busy for _, busy in rests[3:])
    assert counts(numbers) == (ROWS, 0, ROWS)


def test_rows_that_somebody_locked_make_the_batch_smaller_until_it_gives_up(
    filling: Service, numbers: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "ATTEMPTS", 6)
    with (
        session(numbers, "BEGIN", "SELECT FROM numbers WHERE id = 300 FOR UPDATE"),
        pytest.raises(BackfillError, match="gave up after 6 attempts at one batch"),
    ):
        through(filling, numbers, lambda link: backfill.run(link, DOUBLE, sleep=nothing))
    (row,) = numbers.fetch("SELECT position::int, rows_done FROM backfills")
    # In batches of ever fewer rows it has come to the very row that is held.
    assert row["position"] == 290
    assert counts(numbers)[0] == row["rows_done"] == 29
    assert through(filling, numbers, lambda link: backfill.run(link, DOUBLE, sleep=nothing)) == "done"
    assert counts(numbers) == (ROWS, 0, ROWS)


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
def test_the_rest_is_in_proportion_to_the_batch_and_the_load(
    seconds: float, load: Load, expected: float
) -> None:
    assert pace.rest(seconds, load) == pytest.approx(expected)


def test_the_size_follows_the_time_within_its_bounds() -> None:
    assert [pace.next_size(8, 2.0, 100), pace.next_size(1, 2.0, 100)] == [4, 1]
    sizes = [pace.next_size(8, 0.01, 100), pace.next_size(80, 0.01, 100), pace.next_size(8, 0.3, 100)]
    assert sizes == [16, 100, 8]


def test_a_backfill_that_is_not_declared_is_refused(filling: Service, numbers: Database) -> None:
    done = filling.run(numbers.environ(), "backfill", "run", "none-such")
    assert done.status == 1
    assert "There is no backfill 'none-such' in this release; it declares double." in done.said


def test_only_the_status_goes_without_a_name(filling: Service, numbers: Database) -> None:
    done = filling.run(numbers.environ(), "backfill", "pause")
    assert (done.status, done.printed) == (2, "")
    assert "Which backfill? backfill pause NAME. Nothing was changed." in done.said


def test_before_a_migration_there_is_nowhere_to_keep_how_far_it_is(
    filling: Service, database: Database
) -> None:
    done = filling.run(database.environ(), "backfill", "status")
    assert (done.status, done.printed) == (1, "")
    assert "does not keep how far backfills are: a migration" in done.said


def test_the_status_of_all_says_how_far_each_is_and_what_is_to_be_done(
    filling: Service, numbers: Database
) -> None:
    def row() -> dict[str, Any]:
        (found,) = filling.run(numbers.environ(), "backfill", "status").result["backfills"]
        return dict(found)

    began = row()
    assert [began[name] for name in ("name", "table", "state", "rows")] == [
        "double",
        "numbers",
        "not begun",
        ROWS,
    ]
    assert "rows_done" not in began
    filling.run(numbers.environ(), "backfill", "pause", "double")
    assert row()["state"] == "paused"
    assert filling.run(numbers.environ(), "backfill", "resume", "double").status == 0
    found = row()
    named = ("state", "percent", "rows_done", "rows_per_second")
    assert [found[name] for name in named] == ["done", 100, ROWS, None]


def test_the_status_measures_a_run_that_goes_on_and_one_that_was_cut_is_stopped(
    filling: Service, numbers: Database
) -> None:
    seen: list[tuple[Any, ...]] = []

    def while_it_goes_on(_: float) -> None:
        numbers.execute("UPDATE backfills SET rows_done = rows_done + 60")

    def look(sleep: Callable[[float], object]) -> None:
        (found,) = through(filling, numbers, lambda link: standing(link, {"double": DOUBLE}, sleep))
        seen.append((found["state"], found["rows_per_second"], found["percent"]))

    class Cut(Exception):
        """The run ends here."""

    def held(_: float) -> None:
        look(while_it_goes_on)
        through(filling, numbers, lambda link: backfill.set_paused(link, "double", True))
        look(nothing)
        through(filling, numbers, lambda link: backfill.set_paused(link, "double", False))
        raise Cut

    with pytest.raises(Cut):
        through(filling, numbers, lambda link: backfill.run(link, DOUBLE, sleep=held))
    assert seen[0] == ("running", 30, 16)
    assert seen[1][:2] == ("pausing", 0)
    # Of another release: its row is there, its table is not known.
    (found,) = through(filling, numbers, lambda link: standing(link, {}, nothing))
    named = ("state", "declared", "table", "percent")
    assert [found[name] for name in named] == ["stopped", False, None, None]
