"""What a migration says of itself: the locks it took, and why it failed without anybody's data."""

import json
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from conftest import Database
from revisions import later_release, run_shop_of

pytestmark = pytest.mark.anyio

TABLE = [
    "CREATE TABLE people (id bigint PRIMARY KEY, email text NOT NULL, age int)",
    "ALTER TABLE people ADD CONSTRAINT grown CHECK (age > 17)",
    "INSERT INTO people VALUES (1, 'ada@hunter.example', 36)",
    "ALTER TABLE people OWNER TO shop_owner",
]
INDEX = 'create_index_concurrently("ix_people_email", "people", ["email"])'
DROPPED = 'drop_index_concurrently("ix_people_email", "people")'


async def migrated(database: Database, directory: Path, *upgrades: str) -> Any:
    """The command of a release with these further revisions, at its end."""
    folder = later_release(directory, *[(upgrade, "pass") for upgrade in upgrades])
    environ = database.environ(directory / "credentials")
    return await to_thread.run_sync(run_shop_of, folder, environ, "migrate")


@pytest.fixture
async def people(database: Database) -> Database:
    """A database with a table of one person."""
    await database.execute(*TABLE)
    return database


async def test_an_index_beside_the_service_has_its_lock_and_table_and_others_their_own(
    people: Database, tmp_path: Path
) -> None:
    stronger = 'op.execute("ALTER TABLE people ADD COLUMN note text")'
    done = await migrated(people, tmp_path, INDEX, INDEX, stronger, DROPPED)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stderr.splitlines()]
    applied = [each for each in said if each["event"] == "revision_applied"]
    assert [(each["strongest_lock"], each["locked"]) for each in applied] == [
        ("ShareUpdateExclusiveLock", ["people"]),
        # It was there already: nothing was locked.
        (None, []),
        ("AccessExclusiveLock", ["people"]),
        ("ShareUpdateExclusiveLock", ["people"]),
    ]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE people SET email = NULL",
            ("NotNullViolationError", "SQLSTATE 23502", "table people", "column email"),
        ),
        (
            "UPDATE people SET age = 3",
            ("CheckViolationError", "SQLSTATE 23514", "table people", "constraint grown"),
        ),
        (
            "ALTER TABLE people ADD CONSTRAINT few CHECK (id > 1)",
            ("CheckViolationError", "SQLSTATE 23514", "table people", "constraint few"),
        ),
        (
            "INSERT INTO people VALUES (1, 'eve@hunter.example', 18)",
            ("UniqueViolationError", "SQLSTATE 23505", "constraint people_pkey"),
        ),
    ],
)
async def test_a_failure_names_what_it_is_about_and_shows_no_row(
    people: Database, tmp_path: Path, statement: str, words: tuple[str, ...]
) -> None:
    done = await migrated(people, tmp_path, f'op.execute("{statement}")')
    assert done.returncode == 1
    # The last line is what the host's record keeps of it.
    sentence = done.stderr.splitlines()[-1]
    for word in ("its revision is not applied", *words):
        assert word in sentence, sentence
    for value in ("hunter", "DETAIL", "Failing row"):
        assert value not in done.stderr
