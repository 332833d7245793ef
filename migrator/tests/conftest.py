"""Fixtures: one server a session, a database a test, and services whose migrations nobody wrote for Slipway."""

import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme

from server import Server
from slipway_migrator import cli

NUMBERS = itertools.count(1)
RELEASE = "20261122T160501Z-3f2a9c1"
PYPROJECT = '[project]\nname = "notes"\nversion = "1"\n'
REVISION = '''"""{title}"""

import sqlalchemy as sa
from alembic import op
from slipway_migrator import create_index_concurrently, drop_index_concurrently

revision = "{revision}"
down_revision = {down_revision!r}
branch_labels = None
depends_on = None
{kind}

def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''


@dataclass(frozen=True)
class Database:
    """One database of the server."""

    server: Server
    name: str
    credentials: Path

    def environ(self, **changes: str) -> dict[str, str]:
        """What a unit gives a process for this database."""
        return {
            "CREDENTIALS_DIRECTORY": str(self.credentials),
            "NOTES_RELEASE": RELEASE,
            "NOTES_DATABASE_HOST": str(self.server.directory),
            "NOTES_DATABASE_PORT": str(self.server.port),
            "NOTES_DATABASE_NAME": self.name,
            **changes,
        }

    def execute(self, *statements: str) -> None:
        self.server.execute(self.name, *statements)

    def fetch(self, query: str) -> list[dict[str, Any]]:
        return self.server.fetch(self.name, query)

    def value(self, query: str) -> Any:
        """The one value of a query."""
        ((value,),) = [tuple(row.values()) for row in self.fetch(query)]
        return value

    def tables(self) -> set[str]:
        return {
            row["relname"]
            for row in self.fetch(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'notes'::regnamespace"
            )
        }

    def until(self, query: str, found: bool = True, seconds: float = 60) -> None:
        """Wait until a query finds a row, or none."""
        deadline = time.monotonic() + seconds
        while bool(self.fetch(query)) != found:
            assert time.monotonic() < deadline, query
            time.sleep(0.02)


@dataclass(frozen=True)
class Said:
    """How a command ended: its exit status, what it printed, what it said meanwhile."""

    status: int
    printed: str
    said: str

    @property
    def result(self) -> Any:
        assert self.status == 0, self.said
        return json.loads(self.printed)

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """The lines of the log, of one event or of all."""
        lines = [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]
        return [line for line in lines if name in ("", line["event"])]


@dataclass
class Service:
    """A checkout with an Alembic folder, and the commands on it."""

    folder: Path
    numbers: "itertools.count[int]"

    @property
    def versions(self) -> Path:
        return self.folder / "migrations/versions"

    def revise(
        self,
        upgrade: str,
        kind: str | None = "expand",
        down: object = None,
        name: str = "",
        downgrade: str = "pass",
    ) -> str:
        """One more revision, after the last or after `down`; returns its id."""
        number = next(self.numbers)
        revision = name or f"r{number}"
        before = down if down is not None else (f"r{number - 1}" if number > 1 else None)
        text = REVISION.format(
            title=f"Revision {number}",
            revision=revision,
            down_revision=before,
            kind=f'kind = "{kind}"\n' if kind else "",
            upgrade=_indented(upgrade),
            downgrade=_indented(downgrade),
        )
        (self.versions / f"{number:03d}_{revision}.py").write_text(text)
        return revision

    def run(self, environ: Mapping[str, str], *words: str) -> Said:
        """The command in this process, with that environment and no other."""
        before = dict(os.environ)
        printed, said = io.StringIO(), io.StringIO()
        try:
            os.environ.clear()
            os.environ.update({"PATH": before["PATH"], **environ})
            with redirect_stdout(printed), redirect_stderr(said):
                status = cli.main(["--project", str(self.folder), *words])
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Said(status, printed.getvalue(), said.getvalue())

    def migrated(self, database: Database, *words: str, **changes: str) -> Said:
        """Migrate in this process, to a good end."""
        done = self.run(database.environ(**changes), "migrate", *words)
        assert done.status == 0, done.said
        return done

    def start(self, environ: Mapping[str, str], *words: str) -> "subprocess.Popen[str]":
        """The command as a process of its own, as a unit starts it."""
        return subprocess.Popen(
            [sys.executable, "-m", "slipway_migrator", *words],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environ},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def _indented(lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines.splitlines())


@contextmanager
def session(database: Database, *statements: str) -> Iterator["psycopg.Connection[dict[str, Any]]"]:
    """Somebody's session, which has done this."""
    with closing(database.server.connect(database.name)) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        yield connection


@contextmanager
def started(service: Service, environ: Mapping[str, str], *words: str) -> Iterator["subprocess.Popen[str]"]:
    """The command as a process, which is gone at the end."""
    process = service.start(environ, *words)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: "subprocess.Popen[str]") -> Said:
    """How a process ended, within two minutes."""
    printed, said = process.communicate(timeout=120)
    return Said(process.returncode, printed, said)


def run(service: Service, environ: Mapping[str, str], *words: str) -> Said:
    """The command in a process of its own, to its end."""
    with started(service, environ, *words) as process:
        return ended(process)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who vouches for the tests' server."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server(authority: trustme.CA) -> Iterator[Server]:
    server = Server()
    try:
        certificate = authority.issue_cert("localhost")
        server.start(certificate.cert_chain_pems[0].bytes(), certificate.private_key_pem.bytes())
        server.create_database("prepared")
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def credentials(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as systemd makes it for a unit."""
    folder = tmp_path_factory.mktemp("credentials")
    for name in ("database_password", "migrate_database_password"):
        (folder / name).write_text(f"{server.password}\n")
    return folder


@pytest.fixture
def database(server: Server, credentials: Path) -> Iterator[Database]:
    """A database of this test alone: a schema, and nothing in it."""
    name = f"d{next(NUMBERS)}"
    server.create_database(name, "prepared")
    yield Database(server, name, credentials)
    server.execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """What `alembic init` writes, of one of its templates, with its env.py as it is."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            (folder / "pyproject.toml").write_text(PYPROJECT)
            words = [sys.executable, "-m", "alembic", "init", "--template", name, "migrations"]
            subprocess.run(words, cwd=folder, check=True, capture_output=True)
            made[name] = folder
        return made[name]

    return of


@pytest.fixture
def make_service(template: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Service]:
    """Makes a service of one of Alembic's own templates, without a revision."""

    def make(name: str) -> Service:
        folder = tmp_path / name
        shutil.copytree(template(name), folder)
        return Service(folder, itertools.count(1))

    return make


@pytest.fixture
def service(make_service: Callable[[str], Service]) -> Service:
    """The design of most services: `alembic init`, with a synchronous driver."""
    return make_service("generic")
