"""A PostgreSQL of the tests' own, on a socket in a directory that goes with it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def programs() -> Path:
    if given := os.environ.get("NOTES_TEST_POSTGRESQL_BIN"):
        return Path(given)
    return Path(
        subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
    )


def start(folder: Path) -> str:
    """The address of a server with an empty database."""
    # A PostgreSQL does not run as root.
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    initdb: list[str | Path] = [programs() / "initdb", "--no-sync", "--username=notes", folder / "data"]
    subprocess.run(initdb, user=user, check=True, capture_output=True, cwd=folder)
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    # Its own output goes to a file: a pipe would be waited for as long as the server runs.
    command: list[str | Path] = [
        programs() / "pg_ctl",
        "start",
        "--wait",
        f"--pgdata={folder / 'data'}",
        f"--log={folder / 'log'}",
        "-o",
        options,
    ]
    subprocess.run(command, user=user, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    return f"postgresql+psycopg://notes@/postgres?host={folder}"


def stop(folder: Path) -> None:
    user = "nobody" if os.geteuid() == 0 else None
    command: list[str | Path] = [
        programs() / "pg_ctl",
        "stop",
        "--mode=immediate",
        f"--pgdata={folder / 'data'}",
    ]
    subprocess.run(command, user=user, check=True, capture_output=True, cwd=folder)


@pytest.fixture(scope="session", autouse=True)
def database() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="notes"))
    try:
        os.environ["DATABASE_URL"] = start(folder)
        from alembic import command
        from alembic.config import Config

        command.upgrade(Config(PROJECT / "alembic.ini"), "head")
        yield os.environ["DATABASE_URL"]
        from app.core.db import engine

        engine.dispose()
        stop(folder)
    finally:
        shutil.rmtree(folder)
