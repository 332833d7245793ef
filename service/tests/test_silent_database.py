"""A database that says nothing any more, over connections that nobody closed; and one that is far away."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from conftest import Database, Serve, SignIn
from shop.core import health
from shop.core.database import Resources
from shop.core.pool import pool_facts

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.differs("how a connection is given up is asyncpg's, on its Python"),
]

STATEMENT_MILLISECONDS = 1000
# Each answer of a server that is far away; a connection takes a dozen of them.
FAR_SECONDS = 0.2


class Line:
    """A socket directory whose connections lead to the server while they are let. pause: of each answer."""

    def __init__(self, database: Database, pause: float = 0.0) -> None:
        self.pause = pause
        self.name = f".s.PGSQL.{database.cluster.port}"
        self.server = database.cluster.socket_directory / self.name
        self.speaks = anyio.Event()
        self.speaks.set()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            listener = await anyio.create_unix_listener(Path(folder) / self.name)
            async with listener, anyio.create_task_group() as group:
                group.start_soon(listener.serve, self._connected)
                yield Path(folder)
                group.cancel_scope.cancel()

    async def _connected(self, client: SocketStream) -> None:
        async with (
            client,
            await anyio.connect_unix(self.server) as server,
            anyio.create_task_group() as group,
        ):
            group.start_soon(self._carry, client, server, 0.0)
            group.start_soon(self._carry, server, client, self.pause)

    async def _carry(self, one: SocketStream, other: SocketStream, pause: float) -> None:
        try:
            async for data in one:
                await self.speaks.wait()
                await anyio.sleep(pause)
                await other.send(data)
            await other.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            """It was given up."""


async def test_whoever_asks_is_answered_in_time_and_served_when_it_speaks_again(
    database: Database, serve: Serve, sign_in: SignIn
) -> None:
    line = Line(database)
    async with line.laid() as folder:
        settings = database.settings(
            database_host=str(folder), database_statement_timeout=STATEMENT_MILLISECONDS
        )
        async with serve(settings) as client:
            user = await sign_in(database)
            reads = ("/api/v1/products", "/api/v1/users/me")
            for path in reads:
                assert (await client.get(path, headers=user.headers)).status_code == 200
            line.speaks = anyio.Event()
            statuses: list[int] = []

            async def ask(method: str, path: str, body: object = None) -> None:
                answer = await client.request(method, path, json=body, headers=user.headers)
                statuses.append(answer.status_code)

            with anyio.fail_after(20):
                async with anyio.create_task_group() as group:
                    for path in reads:
                        group.start_soon(ask, "GET", path)
                    group.start_soon(ask, "PATCH", "/api/v1/users/me", {"name": "Ada"})
            assert statuses == [503] * 3
            line.speaks.set()
            for _ in range(100):
                if (answer := await client.get(reads[0], headers=user.headers)).status_code == 200:
                    break
                await anyio.sleep(0.1)
            assert answer.status_code == 200, answer.text


async def test_a_database_that_is_far_away_makes_it_ready_though_no_connection_is_made_within_a_probe(
    database: Database, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_TIMEOUT", 2.5 * FAR_SECONDS)
    monkeypatch.setattr(health, "CACHE_SECONDS", 0.0)
    async with (
        Line(database, FAR_SECONDS).laid() as folder,
        serve(database.settings(database_host=str(folder))) as client,
    ):
        said = [(await client.get("/health/ready")).json()["status"]]
        with anyio.move_on_after(20):
            while said[-1] != "ready":
                await anyio.sleep(FAR_SECONDS)
                said.append((await client.get("/health/ready")).json()["status"])
        assert (said[0], said[-1]) == (503, "ready"), said
        again = [(await client.get("/health/ready")).json()["status"] for _ in range(5)]
        assert again == ["ready"] * 5


async def test_a_worker_has_a_connection_before_its_first_request(database: Database, serve: Serve) -> None:
    async with serve(database.settings()) as client:
        resources = client._transport.app.state.container.get(Resources)  # type: ignore[attr-defined]
        assert pool_facts(resources.reads).checked_in == 1


async def test_a_worker_starts_though_the_database_says_nothing(
    database: Database, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_TIMEOUT", 0.3)
    line = Line(database)
    line.speaks = anyio.Event()
    async with line.laid() as folder:
        with anyio.fail_after(5):
            async with serve(database.settings(database_host=str(folder))) as client:
                assert (await client.get("/health/live")).status_code == 200
                assert (await client.get("/health/ready")).json()["code"] == "database_timeout"
