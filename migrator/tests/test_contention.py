"""A migration survives what happens beside it, and says why it failed without anybody's data."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, create_engine, text

from conftest import Database, Said, Service, ended, session, started
from slipway_migrator import address, project
from slipway_migrator.blockers import Session, without_values
from slipway_migrator.drivers import connected
from slipway_migrator.session import watching

TABLES = [
    "CREATE TABLE people (id bigint PRIMARY KEY, email text NOT NULL, age int)",
    "ALTER TABLE people ADD CONSTRAINT grown CHECK (age > 17)",
    "INSERT INTO people VALUES (1, 'ada@hunter.example', 36)",
    "CREATE TABLE letters (id bigint PRIMARY KEY)",
    "ALTER TABLE people OWNER TO notes_owner",
    "ALTER TABLE letters OWNER TO notes_owner",
]
PATIENT = "op.execute(\"SET LOCAL lock_timeout = '20s'\")"


@pytest.fixture
def people(database: Database) -> Database:
    """A database with a table of one person."""
    database.execute(*TABLES)
    return database


def meet(service: Service, database: Database, waiting: str, first: list[str], then: list[str]) -> Said:
    """Migrate beside a session that does `first`, and `then` once the migrator waits."""
    with session(database, *first) as other, started(service, database.environ(), "migrate") as process:
        database.until(waiting)
        for statement in then:
            other.execute(statement.encode())
        return ended(process)


def test_a_lock_that_becomes_free_is_tried_again(service: Service, people: Database) -> None:
    service.revise('op.add_column("people", sa.Column("note", sa.Text))')
    holding = ["BEGIN", "LOCK TABLE people IN SHARE MODE"]
    with session(people, *holding) as other, started(service, people.environ(), "migrate") as process:
        assert process.stderr is not None
        assert any("migration_waits_for_lock" in line for line in process.stderr)
        other.execute("COMMIT")
        done = ended(process)
    assert done.result == {"from": None, "to": "r1"}


def test_a_lock_that_stays_taken_is_given_up_and_its_holder_named(service: Service, people: Database) -> None:
    service.revise('op.add_column("people", sa.Column("note", sa.Text))')
    with session(people, "BEGIN", "LOCK TABLE people IN SHARE MODE") as other:
        done = service.run(people.environ(NOTES_MIGRATE_RETRY_SECONDS="0"), "migrate")
        pid = other.info.backend_pid
    assert done.status == 75
    assert f"pid {pid}, role postgres" in done.said.splitlines()[-1]
    assert not people.fetch("SELECT FROM alembic_version")


def test_a_deadlock_is_tried_again_and_the_other_session_is_named(service: Service, people: Database) -> None:
    service.revise(
        f'op.add_column("people", sa.Column("probe", sa.Text()))\n{PATIENT}\n'
        'op.add_column("letters", sa.Column("probe", sa.Text()))'
    )
    done = meet(
        service,
        people,
        "SELECT FROM pg_locks WHERE relation = 'letters'::regclass AND NOT granted",
        # The migrator is the one that PostgreSQL ends: it looks sooner.
        ["SET deadlock_timeout = '60s'", "BEGIN", "SELECT count(*) FROM letters"],
        ["SELECT count(*) FROM people", "COMMIT"],
    )
    assert done.status == 0, done.said
    (waited,) = done.events("migration_waits_for_lock")
    assert waited["sqlstate"] == "40P01"
    assert [each["application"] for each in waited["blocked_by"]] == ["somebody"]


def test_rows_that_another_session_changed_meanwhile_are_changed_in_another_try(
    service: Service, people: Database
) -> None:
    # As somebody's database may have it; at READ COMMITTED there is no such conflict.
    stricter = "SET default_transaction_isolation = 'repeatable read'"
    people.execute(f"ALTER ROLE notes_migrate IN DATABASE {people.name} {stricter}")
    add = "UPDATE people SET age = age + {}"
    service.revise(f'{PATIENT}\nop.execute("{add.format(1)}")')
    done = meet(
        service,
        people,
        "SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) "
        f"WHERE l.locktype = 'transactionid' AND NOT l.granted AND a.datname = '{people.name}'",
        ["BEGIN", add.format(10)],
        ["COMMIT"],
    )
    assert done.status == 0, done.said
    assert [each["sqlstate"] for each in done.events("migration_waits_for_lock")] == ["40001"]
    assert people.value("SELECT age FROM people") == 36 + 10 + 1


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE people SET email = NULL",
            ("NotNullViolation", "SQLSTATE 23502", "table people", "column email"),
        ),
        ("UPDATE people SET age = 3", ("CheckViolation", "SQLSTATE 23514", "constraint grown")),
        ("ALTER TABLE people ADD CONSTRAINT few CHECK (id > 1)", ("CheckViolation", "constraint few")),
        (
            "INSERT INTO people VALUES (1, 'eve@hunter.example', 18)",
            ("UniqueViolation", "SQLSTATE 23505", "constraint people_pkey"),
        ),
        ("SELECT no_such_thing()", ("UndefinedFunction", "SQLSTATE 42883")),
    ],
)
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_failure_names_what_it_is_about_and_shows_no_row(
    service: Service, people: Database, statement: str, words: tuple[str, ...], driver: str
) -> None:
    with (service.folder / "pyproject.toml").open("a") as file:
        file.write(f'[tool.slipway]\ndriver = "{driver}"\n')
    service.revise(f'op.execute("{statement}")')
    done = service.run(people.environ(), "migrate")
    assert done.status == 1
    # The last line is what the host's record keeps of it.
    sentence = done.said.splitlines()[-1]
    for word in ("its revision is not applied", *words):
        assert word in sentence, sentence
    for value in ("hunter", "DETAIL", "Failing row"):
        assert value not in done.said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('raise ValueError("no such tax")', "ValueError: no such tax"),
        (
            'open("/no/such/rows.csv")',
            "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/rows.csv'",
        ),
    ],
)
def test_a_revisions_own_fault_is_shown_with_its_lines(
    service: Service, people: Database, line: str, words: str
) -> None:
    service.revise(line)
    done = service.run(people.environ(), "migrate")
    assert done.status == 1
    assert "001_r1.py" in done.said
    assert "failed in the service's own code" in done.said.splitlines()[-1]
    assert words in done.said.splitlines()[-1]


@pytest.mark.parametrize(
    ("preparation", "changes", "status", "words"),
    [
        ("DROP SCHEMA notes CASCADE", {}, 1, "the schema notes does not exist"),
        ("SELECT 1", {"NOTES_DATABASE_OWNER": "nobody_here"}, 1, "the role nobody_here does not exist"),
        ("SELECT 1", {"NOTES_DATABASE_OWNER": "notes"}, 1, "the role notes does not count"),
        ("SELECT 1", {"NOTES_DATABASE_PORT": "1"}, 69, "cannot be reached"),
        ("SELECT 1", {"NOTES_MIGRATE_DATABASE_USER": "nobody_here"}, 69, "refuses the role"),
        ("SELECT 1", {"NOTES_MIGRATE_DATABASE_USER": "notes"}, 1, "the role notes_owner does not count"),
    ],
)
def test_a_migration_that_cannot_be_done_says_why(
    service: Service, database: Database, preparation: str, changes: dict[str, str], status: int, words: str
) -> None:
    service.revise("pass")
    database.execute(preparation)
    done = service.run(database.environ(**changes), "migrate")
    assert (done.status, done.printed) == (status, ""), done.said
    assert words in done.said
    assert "Traceback" not in done.said
    assert database.server.password not in done.said


def test_a_watcher_that_is_ended_fails_no_migration(
    service: Service, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    own = project.load(service.folder)
    settings = address.read(own, "migrate", database.environ())
    engine = create_engine(address.url_of(settings, "psycopg"))
    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'watch'"

    def work(connection: Connection) -> object:
        pid = int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)
        with watching(engine, pid, "watch", list[Session]()):
            database.until(ends)
            # Longer than the pause between two looks: the next one finds its session gone.
            time.sleep(2)
        return connection.scalar(text("SELECT 1"))

    assert connected(engine, work) == 1
    assert "migration_watch_ended" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT 'it''s' FROM a -- why\nWHERE b = 12.5", "SELECT ? FROM a WHERE b = ?"),
        ("SELECT E'a\\'b', $x$ it $x$, \"t'1\"", 'SELECT ?, ?, "t\'1"'),
        ("SELECT 'cut off", "SELECT ?"),
        ("SELECT a1\x1b[2J", "SELECT a1 [?J"),
    ],
)
def test_a_query_is_shown_without_its_values(query: str, shown: str) -> None:
    assert without_values(query) == shown


def test_several_statements_in_one_execute_are_refused_in_a_sentence_where_the_driver_takes_one(
    make_service: Callable[[str], Service], database: Database
) -> None:
    service = make_service("async")
    with (service.folder / "pyproject.toml").open("a") as file:
        file.write('[tool.slipway]\ndriver = "asyncpg"\n')
    service.revise('op.execute("SELECT 1; SELECT 2")')
    done = service.run(database.environ(), "migrate")
    assert done.status == 1
    assert "write an op.execute for each" in done.said
