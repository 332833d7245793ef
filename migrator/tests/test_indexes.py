"""Indexes built beside the service: again after any death, never another one, never in anybody's way."""

import signal
import subprocess
import time

import psycopg
import pytest

from conftest import Database, Service, ended, run, session, started

TABLE = [
    "CREATE TABLE parts (id bigint PRIMARY KEY, code text NOT NULL, kind text)",
    "INSERT INTO parts SELECT n, 'code-' || n, 'a' FROM generate_series(1, 500) n",
    "CREATE TABLE apart (name text)",
    "ALTER TABLE parts OWNER TO notes_owner",
    "ALTER TABLE apart OWNER TO notes_owner",
    "GRANT ALL ON parts TO notes",
]
PLAIN = 'create_index_concurrently("ix_parts_code", "parts", ["code"])'
UNIQUE = (
    'create_index_concurrently("uq_parts_code", "parts", [sa.text("lower(code)")], unique=True, '
    "postgresql_where=sa.text(\"kind IS NOT NULL AND kind NOT LIKE 'x:y%'\"))"
)
DROP = 'drop_index_concurrently("ix_parts_code", "parts")'
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'notes-migrate/%' AND datname = '{}'"
PHASE = "SELECT phase, pid FROM pg_stat_progress_create_index WHERE datname = '{}'"
WRITER = ["BEGIN", "UPDATE parts SET kind = 'b' WHERE id = 1"]
READER = ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT FROM apart"]


@pytest.fixture
def parts(database: Database) -> Database:
    """A database with a table of 500 rows."""
    database.execute(*TABLE)
    return database


def is_valid(database: Database, name: str) -> bool | None:
    """Whether an index is valid; None when there is none."""
    rows = database.fetch(f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('notes.{name}')")
    return rows[0]["indisvalid"] if rows else None


def until_phase(database: Database, process: "subprocess.Popen[str]", phase: str) -> int:
    """Wait until a build is in this phase; its pid."""
    deadline = time.monotonic() + 60
    while True:
        found = database.fetch(PHASE.format(database.name))
        if found and found[0]["phase"] == phase:
            return int(found[0]["pid"])
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_one_line_builds_an_index_and_one_drops_it(service: Service, parts: Database) -> None:
    service.revise(PLAIN)
    service.revise(UNIQUE)
    service.migrated(parts)
    assert is_valid(parts, "ix_parts_code") is True
    assert parts.value("SELECT pg_get_indexdef('uq_parts_code'::regclass)").endswith(
        "UNIQUE INDEX uq_parts_code ON notes.parts USING btree (lower(code)) "
        "WHERE ((kind IS NOT NULL) AND (kind !~~ 'x:y%'::text))"
    )
    owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname ~ '_parts_code$'"
    assert parts.value(owners) == "notes_owner"
    service.revise(DROP)
    done = service.migrated(parts)
    assert is_valid(parts, "ix_parts_code") is None
    applied = [(each["strongest_lock"], each["locked"]) for each in done.events("revision_applied")]
    assert applied == [("ShareUpdateExclusiveLock", ["parts"])]


def test_the_plan_shows_what_a_revision_sends_without_a_database(service: Service) -> None:
    service.revise(f"{PLAIN}\n{DROP}")
    (row,) = run(service, {}, "schema", "--sql").result["revisions"]
    assert "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_parts_code ON parts (code);" in row["sql"]
    assert "DROP INDEX CONCURRENTLY IF EXISTS ix_parts_code;" in row["sql"]


def test_an_index_that_a_dead_build_left_is_built_anew(service: Service, parts: Database) -> None:
    parts.execute("INSERT INTO parts VALUES (501, 'code-1', 'a')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        parts.execute("CREATE UNIQUE INDEX CONCURRENTLY ix_parts_code ON parts (code)")
    assert is_valid(parts, "ix_parts_code") is False
    service.revise(PLAIN)
    service.migrated(parts)
    assert is_valid(parts, "ix_parts_code") is True


@pytest.mark.parametrize(
    "line",
    [
        PLAIN,
        UNIQUE.replace("uq_", "ix_"),
        'create_index_concurrently("ix_parts_code", "parts", ["kind", sa.text("code DESC NULLS LAST")])',
        'create_index_concurrently("ix_parts_code", "parts", ["code"], postgresql_include=["kind"])',
        'create_index_concurrently("ix_parts_code", "parts", [sa.text("code text_pattern_ops")])',
        'create_index_concurrently("ix_parts_code", "parts", ["code"], postgresql_using="hash")',
        'create_index_concurrently("ix_parts_code", "parts", ["code"], postgresql_with={"fillfactor": 70})',
    ],
)
def test_an_index_that_is_there_is_left_alone_and_another_one_is_refused(
    service: Service, parts: Database, line: str
) -> None:
    service.revise(line)
    service.revise(line)
    assert service.migrated(parts).result["to"] == "r2"
    service.revise('create_index_concurrently("ix_parts_code", "parts", ["code", "kind"])')
    done = service.run(parts.environ(), "migrate")
    assert done.status == 1
    assert "there is an index ix_parts_code already, and it is another one: CREATE" in done.said
    assert parts.value("SELECT version_num FROM alembic_version") == "r2"
    assert is_valid(parts, "ix_parts_code") is True


def test_an_index_of_another_table_is_neither_dropped_nor_taken_for_this_one(
    service: Service, parts: Database
) -> None:
    parts.execute("CREATE INDEX ix_parts_code ON apart (name)")
    for line in (PLAIN, DROP):
        path = service.versions / "one.py"
        name = service.revise(line, down="", name="one")
        next(service.versions.glob(f"*_{name}.py")).rename(path)
        path.write_text(path.read_text().replace("down_revision = ''", "down_revision = None"))
        done = service.run(parts.environ(), "migrate")
        assert done.status == 1
        assert "of the table apart and not of parts" in done.said
    assert is_valid(parts, "ix_parts_code") is True


def test_what_a_revision_changed_before_is_not_committed_without_it(
    service: Service, parts: Database
) -> None:
    service.revise(f'op.add_column("parts", sa.Column("more", sa.Text()))\n{PLAIN}')
    done = service.run(parts.environ(), "migrate")
    assert done.status == 1
    assert "changes something before the index ix_parts_code" in done.said
    columns = "SELECT FROM pg_attribute WHERE attrelid = 'parts'::regclass AND attname = 'more'"
    assert not parts.fetch(columns)
    assert is_valid(parts, "ix_parts_code") is None


def test_duplicates_are_named_without_anybodys_data_and_nothing_is_left(
    service: Service, parts: Database
) -> None:
    parts.execute(
        "INSERT INTO parts VALUES (501, 'CODE-1', 'a'), (502, 'Code-1', 'a'), (503, 'code-2', 'b')",
        "INSERT INTO parts VALUES (504, 'code-3', NULL), (505, 'code-4', 'x:yz')",
    )
    service.revise(UNIQUE)
    done = service.run(parts.environ(), "migrate")
    assert done.status == 1
    sentence = done.said.splitlines()[-1]
    assert (
        "the unique index uq_parts_code cannot be: 5 rows of parts share 2 values of (lower(code))"
        in sentence
    )
    assert "ode-1" not in done.said.lower()
    assert "the revision is not applied" in sentence
    found = parts.fetch(sentence.split("found by: ")[1])
    assert sorted((row["lower"], row["count"]) for row in found) == [("code-1", 3), ("code-2", 2)]
    assert is_valid(parts, "uq_parts_code") is None


def test_while_a_build_waits_for_a_transaction_it_is_named_and_nobody_else_waits(
    service: Service, parts: Database
) -> None:
    service.revise(PLAIN)
    with session(parts, *WRITER) as writer, started(service, parts.environ(), "migrate") as process:
        builder = until_phase(parts, process, "waiting for writers before build")
        locks = f"SELECT mode FROM pg_locks WHERE relation = 'parts'::regclass AND pid = {builder}"
        assert {row["mode"] for row in parts.fetch(locks)} == {"ShareUpdateExclusiveLock"}
        with session(parts, "SET lock_timeout = '100ms'") as customer:
            customer.execute("UPDATE parts SET kind = 'c' WHERE id = 2")
            customer.execute("INSERT INTO parts VALUES (0, 'x', 'y')")
        # Longer than other statements wait for a lock: this one is patient.
        time.sleep(2.5)
        assert process.poll() is None
        pid = writer.info.backend_pid
        writer.execute("COMMIT")
        done = ended(process)
    assert done.status == 0, done.said
    assert [each["pid"] for each in done.events("migration_blocked")[0]["blocked_by"]] == [pid]
    assert done.events("index_build")[0]["phase"] == "waiting for writers before build"
    assert is_valid(parts, "ix_parts_code") is True


def test_a_build_that_is_given_up_names_who_was_in_the_way_and_leaves_nothing(
    service: Service, parts: Database
) -> None:
    service.revise(PLAIN)
    # A snapshot of another table: the build waits for it at its end, its removal does not.
    with session(parts, *READER) as reader:
        done = service.run(parts.environ(NOTES_MIGRATE_RETRY_SECONDS="1"), "migrate")
        pid = reader.info.backend_pid
    assert done.status == 75, done
    assert f"pid {pid}, role postgres" in done.said.splitlines()[-1]
    assert is_valid(parts, "ix_parts_code") is None
    service.migrated(parts)
    assert is_valid(parts, "ix_parts_code") is True


@pytest.mark.parametrize(
    ("holding", "phase"),
    [(WRITER, "waiting for writers before build"), (READER, "waiting for old snapshots")],
)
def test_killed_while_it_builds_the_next_run_needs_no_hand(
    service: Service, parts: Database, holding: list[str], phase: str
) -> None:
    service.revise(UNIQUE)
    with session(parts, *holding), started(service, parts.environ(), "migrate") as process:
        until_phase(parts, process, phase)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        # The holder is still there: the server notices the death while its session waits.
        parts.until(SESSIONS.format(parts.name), found=False)
        assert is_valid(parts, "uq_parts_code") is False
    done = service.migrated(parts)
    assert done.events("unfinished_index_removed")
    assert is_valid(parts, "uq_parts_code") is True


def test_of_two_migrations_at_once_one_builds_and_none_waits_for_the_other_in_a_circle(
    service: Service, parts: Database
) -> None:
    service.revise(PLAIN)
    environ = parts.environ()
    with (
        session(parts, *WRITER) as writer,
        started(service, environ, "migrate") as one,
        started(service, environ, "migrate") as other,
    ):
        # The one that builds, the one that watches it, the one that waits.
        parts.until(f"{SESSIONS.format(parts.name)} OFFSET 2")
        parts.until(PHASE.format(parts.name))
        writer.execute("COMMIT")
        done = [ended(one), ended(other)]
    assert [each.status for each in done] == [0, 0], done
    assert sum(len(each.events("index_built")) for each in done) == 1
    assert sorted(str(each.result["from"]) for each in done) == ["None", "r1"]
