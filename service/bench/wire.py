"""A relay in front of PostgreSQL that counts what a client sends: round trips and statements."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

# PostgreSQL's frontend messages: a simple query, the Sync and the Flush that end an extended one are each
# answered before the client goes on; a simple query and an Execute each run a statement.
ROUND_TRIPS = (b"Q", b"S", b"H")
STATEMENTS = (b"Q", b"E")


@dataclass
class Counts:
    """What has passed since the start."""

    round_trips: int = 0
    statements: int = 0


class Relay:
    """Listens in `directory` as a server with this port would, and passes everything on to `target`."""

    def __init__(self, directory: Path, target: Path, port: int) -> None:
        self.counts = Counts()
        self._address = str(directory / f".s.PGSQL.{port}")
        self._target = str(target / f".s.PGSQL.{port}")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Relay":
        self._thread.start()
        listening = asyncio.start_unix_server(self._serve, self._address)
        asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._target)
        await asyncio.gather(
            self._until_closed(lambda: self._count(client, to_server), to_server),
            self._until_closed(lambda: self._copy(server, to_client), to_client),
        )

    async def _until_closed(self, work: Callable[[], Awaitable[None]], writer: asyncio.StreamWriter) -> None:
        try:
            await work()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The first message has no type: it starts with its own length.
        kind = b""
        while True:
            length = await reader.readexactly(4)
            content = await reader.readexactly(int.from_bytes(length, "big") - 4)
            writer.write(kind + length + content)
            self.counts.round_trips += kind in ROUND_TRIPS
            self.counts.statements += kind in STATEMENTS
            kind = await reader.readexactly(1)
