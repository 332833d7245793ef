"""Fixtures: one PostgreSQL server a session, one database a test, the application on it."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
import trustme
import uuid_utils.compat
from asyncpg import Record

from caches import bare, cache, cache_events, other, patient, redis  # noqa: F401 - fixtures
from catalogue import CATALOGUE
from postgresql import Cluster
from shop.auth.tokens import Tokens
from shop.core.logging import configure_logging
from shop.main import create_app
from shop.settings import Settings

if TYPE_CHECKING:
    from stage import Stage

SERVICE = Path(__file__).resolve().parent.parent
RELEASE = "20261122T160501Z-3f2a9c1"
SECRET_KEY = "q7Jx2mVd9RkT4wZb8NcY5hLs0GfP3aEu"

Serve = Callable[[Settings], AbstractAsyncContextManager[httpx2.AsyncClient]]


@dataclass(frozen=True)
class SignedIn:
    """A user of a test and the headers that prove it."""

    user_id: uuid.UUID
    headers: dict[str, str]


SignIn = Callable[..., Awaitable[SignedIn]]


@dataclass(frozen=True)
class Database:
    """One database of the cluster and the ways into it."""

    cluster: Cluster
    name: str

    def settings(self, **changes: Any) -> Settings:
        """Settings of a service on this database."""
        values: dict[str, Any] = {
            "environment": "test",
            "release": RELEASE,
            "database_host": str(self.cluster.socket_directory),
            "database_port": self.cluster.port,
            "database_name": self.name,
            "database_password": self.cluster.password,
            "migrate_database_password": self.cluster.migrate_password,
            "database_pool_size": 2,
            "database_max_overflow": 1,
            "secret_key": SECRET_KEY,
            # The least that argon2 takes: tests pay for its code, not for its cost.
            "password_memory_kib": 8,
            "password_iterations": 1,
        }
        return Settings(**{**values, **changes})

    def environ(self, credentials: Path, **changes: str) -> dict[str, str]:
        """The environment of a process on this database; its secrets are written into `credentials`."""
        credentials.mkdir(exist_ok=True)
        for name, value in (
            ("database_password", self.cluster.password),
            ("migrate_database_password", self.cluster.migrate_password),
            ("secret_key", SECRET_KEY),
        ):
            (credentials / name).write_text(value + "\n")
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SERVICE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CREDENTIALS_DIRECTORY": str(credentials),
            "SHOP_ENVIRONMENT": "test",
            "SHOP_RELEASE": RELEASE,
            "SHOP_DATABASE_HOST": str(self.cluster.socket_directory),
            "SHOP_DATABASE_PORT": str(self.cluster.port),
            "SHOP_DATABASE_NAME": self.name,
            "SHOP_DATABASE_POOL_SIZE": "2",
            "SHOP_DATABASE_MAX_OVERFLOW": "1",
        }
        return {**environ, **changes}

    async def execute(self, *statements: str) -> None:
        """Run statements as superuser, where the service's tables are."""
        await self.cluster.execute(self.name, "SET search_path = shop", *statements)

    async def fetch(self, query: str) -> list[Record]:
        """The rows of one query as superuser."""
        return await self.cluster.fetch(self.name, query)

    async def drop(self) -> None:
        """Delete the database, cutting whoever still uses it."""
        await self.cluster.execute("postgres", f"DROP DATABASE {self.name} WITH (FORCE)")


def run(function: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
    """Call an async function from a test that is not."""
    return anyio.run(function, *arguments)


async def eventually(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until `condition` holds."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - it has no event of its own
            await anyio.sleep(0.02)


def run_shop(
    command: str, environ: dict[str, str], *arguments: str, stdin: str = "", folder: Path = SERVICE
) -> "subprocess.CompletedProcess[str]":
    """Run `shop COMMAND` as a process of its own, in the folder of a checkout or a release."""
    return subprocess.run(
        [sys.executable, "-m", "shop.cli", command, *arguments],
        env=environ,
        input=stdin,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
    )


def migrate(database: Database, *arguments: str, folder: Path = SERVICE, **changes: str) -> dict[str, Any]:
    """Run `shop migrate` to a good end; what it printed."""
    with tempfile.TemporaryDirectory() as credentials:
        environ = database.environ(Path(credentials), **changes)
        done = run_shop("migrate", environ, *arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def alembic(database: Database, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run Alembic's own command on a database, as an engineer does."""
    with tempfile.TemporaryDirectory() as credentials:
        return subprocess.run(
            [sys.executable, "-m", "alembic", *words],
            env=database.environ(Path(credentials)),
            cwd=SERVICE,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session", autouse=True)
def _logging() -> None:
    configure_logging("info", RELEASE)


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SHOP_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The certificate authority of the tests' server."""
    return trustme.CA()


@pytest.fixture(scope="session")
def cluster(authority: trustme.CA) -> Iterator[Cluster]:
    cluster = Cluster()
    try:
        cluster.create()
        server = authority.issue_cert("localhost")
        cluster.enable_tls(server.cert_chain_pems[0].bytes(), server.private_key_pem.bytes())
        cluster.start()
        run(cluster.create_roles)
        run(cluster.create_database, "prepared")
        run(cluster.create_database, "migrated", "prepared")
        migrated = Database(cluster, "migrated")
        migrate(migrated)
        run(migrated.execute, CATALOGUE)
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def new_database(cluster: Cluster) -> Callable[[str], Database]:
    """Makes a database from a template: "migrated", a shop that sells, or "prepared", without tables."""
    numbers = itertools.count(1)

    def create(template: str) -> Database:
        name = f"shop_{next(numbers)}"
        run(cluster.create_database, name, template)
        return Database(cluster, name)

    return create


@pytest.fixture(scope="session")
def shared_database(new_database: Callable[[str], Database]) -> Database:
    """A migrated database for tests that change nothing in it."""
    return new_database("migrated")


@pytest.fixture
def database(new_database: Callable[[str], Database]) -> Iterator[Database]:
    """A database of this test alone, migrated to head."""
    database = new_database("migrated")
    yield database
    run(database.drop)


@pytest.fixture
def empty_database(new_database: Callable[[str], Database]) -> Iterator[Database]:
    """A database of this test alone, prepared by the host, without the service's tables."""
    database = new_database("prepared")
    yield database
    run(database.drop)


@pytest.fixture
def serve() -> Serve:
    """Runs the application with the settings given and yields a client of it."""

    @asynccontextmanager
    async def serving(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
        app = create_app(settings)
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as client,
        ):
            yield client

    return serving


@pytest.fixture
def sign_in() -> SignIn:
    """Makes a user of a database, and the Authorization header of an access token of theirs.

    The user has no password: a test that logs in registers its own. The token is one of a service with
    `database.settings()`.
    """

    async def add_user(database: Database, role: str = "user", name: str = "Somebody") -> SignedIn:
        user_id = uuid_utils.compat.uuid7()
        await database.execute(
            "INSERT INTO users (id, email, hashed_password, name, role) "
            f"VALUES ('{user_id}', '{user_id}@shop.test', 'none', '{name}', '{role}')"
        )
        token = Tokens(database.settings()).issue("access", user_id, 1)
        return SignedIn(user_id, {"Authorization": f"Bearer {token}"})

    return add_user


@pytest.fixture
async def client(database: Database, serve: Serve) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application on this test's database."""
    async with serve(database.settings()) as client:
        yield client


@pytest.fixture
async def reader(shared_database: Database, serve: Serve) -> AsyncIterator[httpx2.AsyncClient]:
    """A client for tests that change nothing."""
    async with serve(shared_database.settings()) as client:
        yield client


@pytest.fixture(scope="session")
def stage(
    new_database: Callable[[str], Database], tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Stage"]:
    """A running service with something of everything in it, attacked by tests and harmed by none."""
    from stage import set_stage

    with set_stage(tmp_path_factory.mktemp("stage"), new_database) as stage:
        yield stage
