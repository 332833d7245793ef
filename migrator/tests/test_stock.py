"""A service whose Alembic environment nobody wrote for Slipway: `alembic init`, its env.py as it came."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from conftest import PYPROJECT, Database, Service, run
from slipway_migrator import cli
from slipway_migrator.session import MIGRATION_LOCK

TABLE = (
    'op.create_table("notes", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("text", sa.Text))'
)
OWNERS = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'notes'"


def say(service: Service, *lines: str) -> None:
    """Lines of [tool.slipway]."""
    path = service.folder / "pyproject.toml"
    path.write_text("\n".join([path.read_text(), "[tool.slipway]", *lines, ""]))


def release(service: Service, folder: Path, **said: object) -> Service:
    """The same as a host has it: a manifest and the migrations, with neither pyproject nor alembic.ini."""
    folder.mkdir()
    (folder / "manifest.json").write_text(
        json.dumps({"app": "notes", "service": {"migrations": "migrations", **said}})
    )
    (service.folder / "migrations").rename(folder / "migrations")
    return Service(folder, service.numbers)


@pytest.mark.parametrize(
    ("kind", "driver"),
    [
        ("generic", "psycopg"),
        ("generic", "psycopg2"),
        ("async", "asyncpg"),
        ("async", "psycopg"),
        ("pyproject", "psycopg"),
        ("pyproject_async", "asyncpg"),
    ],
)
def test_each_template_of_alembic_is_migrated_as_it_is_with_each_driver(
    make_service: Callable[[str], Service], database: Database, kind: str, driver: str
) -> None:
    service = make_service(kind)
    say(service, f'driver = "{driver}"')
    service.revise(TABLE)
    service.revise('op.add_column("notes", sa.Column("title", sa.Text))')
    done = service.run(database.environ(), "migrate")
    assert done.result == {"from": None, "to": "r2"}
    assert database.tables() == {"alembic_version", "backfills", "notes", "schema_changes"}
    assert database.value(OWNERS) == "notes_owner"
    assert service.run(database.environ(), "migrate").result == {"from": "r2", "to": "r2"}
    assert [each["strongest_lock"] for each in done.events("revision_applied")] == ["AccessExclusiveLock"] * 2


def test_an_env_py_of_an_older_alembic_reads_a_file_that_no_release_has(
    service: Service, database: Database, tmp_path: Path
) -> None:
    env = service.folder / "migrations/env.py"
    text = env.read_text()
    asked = "if config.config_file_name is not None:\n    fileConfig(config.config_file_name)"
    assert asked in text
    env.write_text(text.replace(asked, "fileConfig(config.config_file_name)"))
    service.revise(TABLE)

    assert release(service, tmp_path / "release").run(database.environ(), "migrate").result == {
        "from": None,
        "to": "r1",
    }


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_a_server_elsewhere_is_reached_over_tls_with_its_name_checked(
    make_service: Callable[[str], Service],
    database: Database,
    authority: trustme.CA,
    tmp_path: Path,
    driver: str,
) -> None:
    service = make_service("async" if driver == "asyncpg" else "generic")
    say(service, f'driver = "{driver}"')
    service.revise(TABLE)
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    there = database.environ(NOTES_DATABASE_HOST="localhost", NOTES_DATABASE_CA=str(ca))
    assert service.run(there, "migrate").result == {"from": None, "to": "r1"}
    trustme.CA().cert_pem.write_to_path(str(ca))
    done = service.run(there, "migrate")
    assert done.status == 69, done.said
    done = service.run({**there, "NOTES_DATABASE_CA": ""}, "migrate")
    assert (done.status, done.printed) == (78, "")
    assert "NOTES_DATABASE_CA is '' and NOTES_DATABASE_HOST is the host name 'localhost'" in done.said


def test_a_release_says_where_its_migrations_are_and_has_no_alembic_ini(
    service: Service, database: Database, tmp_path: Path
) -> None:
    service.revise(TABLE)
    there = release(service, tmp_path / "release")
    assert run(there, database.environ(), "migrate").result == {"from": None, "to": "r1"}
    assert run(there, {}, "schema-head").printed == "r1\n"


def test_the_command_of_a_release_finds_its_own_wherever_it_is_typed(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service.revise(TABLE)
    there = release(service, tmp_path / "release")
    monkeypatch.setattr(sys, "prefix", str(there.folder / "venv"))
    monkeypatch.chdir("/")
    assert cli.main(["schema-head"]) == 0
    assert capsys.readouterr().out == "r1\n"
    monkeypatch.setattr(sys, "prefix", "/nowhere/venv")
    assert cli.main(["schema-head"]) == 78
    assert (
        "There is no pyproject.toml and no manifest.json in /: go to the service's folder"
        in capsys.readouterr().err
    )


def test_an_env_py_that_reads_variables_of_its_own_finds_them(
    service: Service, database: Database, tmp_path: Path
) -> None:
    service.revise(TABLE)
    env = service.folder / "migrations/env.py"
    text = env.read_text().replace("config = context.config\n", "import os\nconfig = context.config\n", 1)
    text = text.replace(
        "config.get_section(config.config_ini_section, {})", '{"sqlalchemy.url": os.environ["DATABASE_URL"]}'
    )
    env.write_text(text)
    there = release(
        service, tmp_path / "release", environment={"DATABASE_URL": "url", "POSTGRES_USER": "user"}
    )
    assert there.run(database.environ(), "migrate").result == {"from": None, "to": "r1"}


def reading(service: Service, *names: str) -> None:
    """Its env.py cannot be imported without these variables, as one whose settings are a class."""
    env = service.folder / "migrations/env.py"
    read = "".join(f"assert os.environ[{name!r}]\n" for name in names)
    env.write_text(
        env.read_text().replace("config = context.config\n", f"import os\n{read}config = context.config\n", 1)
    )


def test_an_env_py_finds_credentials_in_variables_of_its_own(
    service: Service, database: Database, tmp_path: Path
) -> None:
    service.revise(TABLE)
    reading(service, "SECRET_KEY")
    there = release(service, tmp_path / "release", environment={"SECRET_KEY": "credential:jwt_key"})
    credentials = tmp_path / "credentials"
    shutil.copytree(database.credentials, credentials)

    refused = there.run(database.environ(CREDENTIALS_DIRECTORY=str(credentials)), "migrate")
    assert refused.status == 78
    assert "The credential jwt_key, which SECRET_KEY is to have, is not in" in refused.said

    (credentials / "jwt_key").write_text("kept as a file\n")
    done = there.run(database.environ(CREDENTIALS_DIRECTORY=str(credentials)), "migrate")
    assert done.result == {"from": None, "to": "r1"}


def test_a_socket_is_no_address(service: Service, database: Database, tmp_path: Path) -> None:
    service.revise(TABLE)
    there = release(service, tmp_path / "release", environment={"POSTGRES_SERVER": "address"})

    refused = there.run(database.environ(), "migrate")

    assert refused.status == 78
    assert (
        f"POSTGRES_SERVER is to have the database's address, and {database.server.directory}" in refused.said
    )


def test_the_sql_is_said_where_neither_the_database_nor_a_secret_is_known(
    service: Service, tmp_path: Path
) -> None:
    service.revise(TABLE)
    reading(service, "POSTGRES_SERVER", "POSTGRES_PORT", "DATABASE_URL", "SECRET_KEY")
    there = release(
        service,
        tmp_path / "release",
        environment={
            "POSTGRES_SERVER": "address",
            "POSTGRES_PORT": "port",
            "DATABASE_URL": "url",
            "SECRET_KEY": "credential:jwt_key",
        },
    )

    (found,) = there.run({}, "schema", "--sql").result["revisions"]

    assert "CREATE TABLE notes" in found["sql"]


def test_a_database_that_plain_alembic_migrated_is_taken_over(service: Service, database: Database) -> None:
    service.revise(TABLE)
    before = service.migrated(database)
    database.execute("DROP TABLE schema_changes, backfills")
    assert service.migrated(database).result == {"from": "r1", "to": "r1"}
    assert [row["revision"] for row in database.fetch("SELECT revision FROM schema_changes")] == ["r1"]
    assert "backfills" in database.tables()
    assert before.result["from"] is None


def test_a_service_whose_own_revisions_make_the_tables_keeps_them(
    service: Service, database: Database
) -> None:
    table = (
        'op.create_table("schema_changes", sa.Column("revision", sa.Text), sa.Column("down_revision", sa.Text), '
        'sa.Column("kind", sa.Text), sa.Column("release", sa.Text), sa.Column("applied_at", sa.DateTime), '
        'sa.Column("theirs", sa.Text))'
    )
    service.revise(table)
    service.migrated(database)
    assert database.value("SELECT count(theirs) + count(revision) FROM schema_changes") == 1


def test_a_table_of_the_services_own_by_that_name_is_not_written_to(
    service: Service, database: Database
) -> None:
    service.revise('op.create_table("schema_changes", sa.Column("id", sa.BigInteger))')
    done = service.run(database.environ(), "migrate")
    assert done.status == 1
    assert (
        "there is a table schema_changes of the service's own, without applied_at, down_revision" in done.said
    )
    assert "schema_changes" not in database.tables()


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("connectable.connect()", "connectable.begin()", "with an open transaction"),
        ("poolclass=pool.NullPool", 'poolclass=pool.NullPool, isolation_level="AUTOCOMMIT"', "in autocommit"),
        ("            context.run_migrations()", "            pass", "never calls context.run_migrations()"),
        ("connection=connection, target", "url='postgresql://', target", "without a connection"),
        (
            "config = context.config\n",
            "config = context.config\nimport no_such_module\n",
            "No module named 'no_such_module'",
        ),
    ],
)
def test_an_env_py_that_a_migration_cannot_use_is_named_and_nothing_is_changed(
    service: Service, database: Database, before: str, after: str, words: str
) -> None:
    service.revise(TABLE)
    env = service.folder / "migrations/env.py"
    assert before in env.read_text()
    env.write_text(env.read_text().replace(before, after))
    done = service.run(database.environ(), "migrate")
    assert (done.status, done.printed) == (1, "")
    sentence = done.said.splitlines()[-1]
    assert "did not start, nothing is changed: " in sentence
    assert words in sentence
    assert database.tables() == set()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"NOTES_DATABASE_PORT": "0"}, "NOTES_DATABASE_PORT is '0': it must be a port number"),
        ({"NOTES_DATABASE_NAME": "No"}, "NOTES_DATABASE_NAME is 'No': it must be a PostgreSQL name"),
        ({"NOTES_MIGRATE_LOCK_WAIT": "soon"}, "NOTES_MIGRATE_LOCK_WAIT is 'soon': it must be seconds"),
        ({"NOTES_MIGRATE_RETRY_SECONDS": "601"}, "NOTES_MIGRATE_RETRY_SECONDS is '601'"),
        ({"NOTES_RELEASE": "a b"}, "NOTES_RELEASE is 'a b'"),
        (
            {"NOTES_MIGRATE_DATABASE_PASSWORD": "word"},
            "NOTES_MIGRATE_DATABASE_PASSWORD is set in the environment",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anybody_is_asked(
    service: Service, database: Database, changes: dict[str, str], words: str
) -> None:
    service.revise(TABLE)
    done = service.run(database.environ(**changes), "migrate")
    assert (done.status, done.printed) == (78, "")
    assert done.said.startswith(words), done.said
    assert "word\n" not in done.said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PYPROJECT + "[tool.slipway]\nmigrations = 3\n", "[tool.slipway] migrations is 3: it must be text."),
        (
            PYPROJECT + '[tool.slipway]\nenvironment = { A = "secret" }\n',
            "environment must say for each variable",
        ),
        (
            PYPROJECT + '[tool.slipway]\nbackfills = "no_such:THING"\n',
            "backfills is 'no_such:THING': No module named",
        ),
        ("[tool]\n", "The service has no name"),
        ("not toml", "cannot be read"),
    ],
)
def test_what_a_service_says_of_itself_is_refused_in_a_sentence(
    service: Service, database: Database, text: str, words: str
) -> None:
    (service.folder / "pyproject.toml").write_text(text)
    done = service.run(database.environ(), "backfill", "status")
    assert (done.status, done.printed) == (78, "")
    assert words in done.said


def test_another_migrator_is_waited_for_and_named(service: Service, database: Database) -> None:
    service.revise(TABLE)
    with database.server.connect(database.name) as other:
        other.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})".encode())
        pid = other.info.backend_pid
        done = service.run(database.environ(NOTES_MIGRATE_LOCK_WAIT="0.5"), "migrate")
    assert done.status == 75
    assert f": pid {pid}, role postgres, somebody" in done.said
    assert done.events("migration_waits_for_another")[0]["held_by"][0]["pid"] == pid
