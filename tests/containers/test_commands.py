"""One image, several commands: it migrates, serves, and runs whatever else its service declares."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.containers import databases, hardened
from tests.containers.engine import Engine
from tests.containers.hardened import CREDENTIALS, FLAGS
from tests.containers.images import Built

pytestmark = [pytest.mark.long, pytest.mark.containers]
SHOP = {
    "SHOP_ENVIRONMENT": "test",
    "SHOP_DATABASE_HOST": databases.FOLDER,
    "CREDENTIALS_DIRECTORY": CREDENTIALS,
}
LACKING = "The credential database_password is missing or empty, and the database at 'database' asks for it."
NOTES = {
    "NOTES_DATABASE_HOST": databases.FOLDER,
    "NOTES_DATABASE_PORT": "5432",
    "NOTES_DATABASE_NAME": "notes",
    "NOTES_DATABASE_USER": "notes",
}


@pytest.fixture(scope="module")
def database() -> Iterator[Path]:
    """Return the folder of a server's socket."""
    with databases.server("shop", "notes") as folder:
        yield folder


@pytest.fixture(scope="module")
def mounts(database: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """Return the folders that the shop's containers have."""
    credentials = tmp_path_factory.mktemp("credentials")
    (credentials / "secret_key").write_text(secrets.token_urlsafe(48))
    credentials.chmod(0o755)
    return {database: databases.FOLDER, credentials: CREDENTIALS}


@pytest.mark.share
def test_it_migrates_and_then_it_is_ready(engine: Engine, shop: Built, mounts: dict[Path, str]) -> None:
    first = hardened.once(engine, shop.name, "migrate", settings=SHOP, mounts=mounts)
    again = hardened.once(engine, shop.name, "migrate", settings=SHOP, mounts=mounts)
    with hardened.container(engine, shop.name, name="ready", settings=SHOP, mounts=mounts) as running:
        running.answers("/health/ready")
        products = running.get("/api/v1/products")
        ready = engine.run("podman", "exec", "ready", "python", "-I", "/srv/release/probe", "ready")

    assert first.returncode == 0, first.stdout + first.stderr
    assert again.returncode == 0, again.stdout + again.stderr
    assert products[0] == 200
    assert ready.returncode == 0


def test_its_timers_command_and_its_backfills_run(
    engine: Engine, shop: Built, mounts: dict[Path, str]
) -> None:
    assert hardened.once(engine, shop.name, "migrate", settings=SHOP, mounts=mounts).returncode == 0

    purged = hardened.once(engine, shop.name, "purge", settings=SHOP, mounts=mounts)
    asked = hardened.once(engine, shop.name, "backfill", "status", settings=SHOP, mounts=mounts)

    assert purged.returncode == 0, purged.stderr
    assert asked.returncode == 0, asked.stdout + asked.stderr


def test_a_plain_service_migrates_and_works_with_the_address_that_it_is_given(
    engine: Engine, notes: Built, database: Path
) -> None:
    mounts = {database: databases.FOLDER}
    migrated = hardened.once(engine, notes.name, "migrate", settings=NOTES, mounts=mounts)
    assert migrated.returncode == 0, migrated.stdout + migrated.stderr

    with (
        hardened.container(engine, notes.name, name="notes", settings=NOTES, mounts=mounts) as serving,
        hardened.container(
            engine, notes.name, "worker", name="worker", settings=NOTES, mounts=mounts,
            flags=(*FLAGS, "--no-healthcheck"),
        ) as working,
    ):  # fmt: skip
        serving.answers("/api/health")
        with psycopg.connect(host=str(database), dbname="notes", user="postgres", autocommit=True) as asking:
            asking.execute("INSERT INTO notes.note (title, body) VALUES ('a', 'four words are here')")
            asking.execute("INSERT INTO notes.job (note_id) SELECT id FROM notes.note")

            def done() -> bool:
                row = asking.execute("SELECT count(*) FROM notes.job WHERE done_at IS NOT NULL").fetchone()
                return row == (1,)

            hardened.wait_for(done, "the worker has done its job")
        took = working.stop()
        state = working.status

    print(f"the worker ended after {took:.1f} s")
    assert state["ExitCode"] == 0


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (
            "missing",
            "The credential database_password is missing or empty, and the database at 'database' asks for it.",
        ),
        (
            "empty",
            "The credential database_password is missing or empty, and the database at 'database' asks for it.",
        ),
        ("unreadable", "The credential database_password cannot be read: "),
    ],
)
def test_a_password_that_cannot_be_used_is_a_sentence_for_any_service(
    engine: Engine, notes: Built, tmp_path: Path, how: str, sentence: str
) -> None:
    if how != "missing":
        (tmp_path / "database_password").write_text("" if how == "empty" else "x")
        (tmp_path / "database_password").chmod(0 if how == "unreadable" else 0o444)
    tmp_path.chmod(0o755)

    settings = {**NOTES, "NOTES_DATABASE_HOST": "database", "CREDENTIALS_DIRECTORY": CREDENTIALS}
    done = hardened.once(engine, notes.name, settings=settings, mounts={tmp_path: CREDENTIALS})

    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
