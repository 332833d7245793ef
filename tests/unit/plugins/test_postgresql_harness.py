"""A throw-away PostgreSQL server for each test, and the modules run against it; the other files import these."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import ansible.module_utils
import psycopg
import pytest
from ansible.module_utils.testing import patch_module_args

REPOSITORY = Path(__file__).resolve().parents[3]
BINARIES = Path(os.environ.get("SLIPWAY_TEST_POSTGRESQL_BIN", "/usr/lib/postgresql/15/bin"))
MODULE_UTILS = REPOSITORY / "plugins" / "module_utils"

# PostgreSQL refuses to run as root, so root borrows the account that the package brings.
OS_USER = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

if str(MODULE_UTILS) not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(str(MODULE_UTILS))


def part(name: str) -> ModuleType:
    """A module of what the modules share, for the tests that need no server."""
    return importlib.import_module(f"ansible.module_utils.slipway_postgresql.{name}")


HBA = """local all postgres peer map=admin
local all all scram-sha-256
"""
IDENT = f"admin {OS_USER} postgres\n"
CONF = """listen_addresses = ''
fsync = off
log_statement = 'all'
log_min_duration_statement = 0
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track_utility = on
"""


def run_as_owner(*command: str | Path) -> str:
    """Run `command` as the server's OS user and return what it printed; a failure shows both outputs."""
    identity: dict[str, Any] = {"user": OS_USER, "extra_groups": []} if os.geteuid() == 0 else {}
    completed = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd="/", check=False, **identity
    )
    assert completed.returncode == 0, f"{command}\n{completed.stdout}\n{completed.stderr}"
    return str(completed.stdout)


def owned_directory(prefix: str) -> Path:
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(directory, OS_USER)
    return directory


def load_module(name: str) -> ModuleType:
    path = REPOSITORY / "plugins" / "modules" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_module(name: str, arguments: dict[str, Any], check: bool = False) -> dict[str, Any]:
    """Run an Ansible module as Ansible would and return its answer, failed or not."""
    printed = io.StringIO()
    internal = {
        "_ansible_check_mode": check,
        "_ansible_diff": True,
        "_ansible_remote_tmp": tempfile.gettempdir(),
    }
    with (
        patch_module_args(arguments | internal),
        contextlib.redirect_stdout(printed),
        pytest.raises(SystemExit),
    ):
        load_module(name).main()
    answer: dict[str, Any] = json.loads(printed.getvalue())
    return answer


@dataclass
class Postgres:
    """A running server: `directory` holds data/ and the socket."""

    directory: Path
    port: int = 5432

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    @property
    def version(self) -> str:
        return (self.data / "PG_VERSION").read_text().strip()

    @property
    def arguments(self) -> dict[str, Any]:
        """What the modules need to find this server."""
        return {
            "version": self.version,
            "cluster": "test",
            "port": self.port,
            "socket_directory": str(self.directory),
            "admin_os_user": OS_USER,
        }

    def start(self) -> None:
        options = f"-k {self.directory} -p {self.port}"
        run_as_owner(
            BINARIES / "pg_ctl", "start", "-w", "-D", self.data, "-l", self.directory / "log", "-o", options
        )

    def stop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            run_as_owner(BINARIES / "pg_ctl", "stop", "-m", "immediate", "-D", self.data)

    def state(self, wanted: dict[str, Any], check: bool = False) -> dict[str, Any]:
        """postgresql_state's answer; it must not have failed."""
        answer = run_module("postgresql_state", self.arguments | wanted, check)
        assert not answer.get("failed"), f"{answer['msg']}\n\nserver log:\n{self.log[-3000:]}"
        return answer

    def refusal(self, wanted: dict[str, Any], check: bool = False) -> str:
        """The message of a postgresql_state that must fail."""
        answer = run_module("postgresql_state", self.arguments | wanted, check)
        assert answer.get("failed"), f"should have been refused, but: {answer}"
        return str(answer["msg"])

    def connect(self, role: str, database: str = "postgres", password: str = "") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=str(self.directory),
            port=self.port,
            user=role,
            dbname=database,
            password=password,
            autocommit=True,
        )

    def sql(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run `statements` as the superuser through psql; the rows of the last one, if it is a SELECT."""
        script = "".join(f"{statement};\n" for statement in statements[:-1])
        last = statements[-1]
        if last.lstrip().upper().startswith("SELECT"):
            last = f"SELECT coalesce(json_agg(row_to_json(answer)), '[]')::text FROM ({last}) AS answer"
        file = self.directory / "script.sql"
        file.write_text(f"{script}{last};\n")
        output = run_as_owner(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
            "-h", self.directory, "-p", str(self.port), "-U", "postgres", "-d", database, "-f", file,
        )  # fmt: skip
        rows = "".join(output.split("\n")) if last != statements[-1] else "[]"
        return [tuple(row.values()) for row in json.loads(rows)]


def reachable_binaries() -> None:
    missing = [name for name in ("initdb", "pg_ctl", "postgres") if not (BINARIES / name).is_file()]
    assert not missing, (
        f"{BINARIES} has no {', '.join(missing)}: install postgresql, or name the folder of another server in "
        "SLIPWAY_TEST_POSTGRESQL_BIN"
    )


@pytest.fixture(scope="session")
def initialized_cluster() -> Iterator[Path]:
    """A data directory that initdb has made once; each server starts on a copy of it."""
    reachable_binaries()
    directory = owned_directory("slipway-initdb-")
    data = directory / "data"
    run_as_owner(
        BINARIES / "initdb", "--pgdata", data, "--username", "postgres", "--encoding", "UTF8",
        "--locale", "C.UTF-8", "--data-checksums", "--no-sync", "--auth", "reject",
    )  # fmt: skip
    for name, content in (("pg_hba.conf", HBA), ("pg_ident.conf", IDENT)):
        (data / name).write_text(content)
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(CONF)
    yield data
    shutil.rmtree(directory)


@contextlib.contextmanager
def running_copy(initialized_cluster: Path) -> Iterator[Postgres]:
    server = Postgres(owned_directory("slipway-pg-"))
    run_as_owner("cp", "-a", initialized_cluster, server.directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.directory)


@pytest.fixture
def postgres(initialized_cluster: Path) -> Iterator[Postgres]:
    """A server of its own for one test."""
    with running_copy(initialized_cluster) as server:
        yield server


@pytest.fixture(scope="module")
def shared_postgres(initialized_cluster: Path) -> Iterator[Postgres]:
    """One server for a whole file, for tests that do not get in each other's way."""
    with running_copy(initialized_cluster) as server:
        yield server


def test_each_test_gets_an_empty_server_of_the_version_under_test(postgres: Postgres) -> None:
    ((version,),) = postgres.sql("SELECT current_setting('server_version')")
    printed = run_as_owner(BINARIES / "postgres", "--version")
    assert printed.split()[2] == version.split()[0]
    assert postgres.sql("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'") == [("postgres",)]
