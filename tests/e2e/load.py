"""Customers who order over keep-alive connections and never try again, and every answer they got.

They run as a process of their own (`python -m tests.e2e.load`): what a test does meanwhile does not slow them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from tests.e2e import hosts
from tests.e2e.web import Response, Site
from tests.lab.host import Host

PATIENCE = 15.0
# After a connection that could not be made: the load does not become a flood.
PAUSE = 0.2
PASSWORD = "correct horse battery staple"
PLENTY = 2_000_000


@dataclass(frozen=True)
class Wish:
    """What the customers do: address and ca of the site, the order's path, the token, a product for each client.

    address: with a port where it is not 443. rate: requests a second of all clients together. method: GET to read.
    """

    address: str
    ca: str
    path: str
    token: str
    products: list[str]
    rate: float
    method: str = "POST"


@dataclass(frozen=True)
class Answer:
    """sent and at: seconds since 1970, of the request's first byte and the answer's last. key: the request's own."""

    sent: float
    at: float
    status: int
    release: str
    key: str


@dataclass(frozen=True)
class Loss:
    """A request without a whole answer. refused: not even a connection was made."""

    sent: float
    at: float
    refused: bool
    reason: str


@dataclass
class Seen:
    """All that the customers saw."""

    answers: list[Answer] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)

    @property
    def placed(self) -> int:
        """How many orders were confirmed."""
        return sum(answer.status == 201 for answer in self.answers)

    @property
    def wrong(self) -> list[Answer]:
        """The answers that were no confirmation."""
        return [answer for answer in self.answers if answer.status != 201]

    def last_from(self, release: str) -> float:
        """When the last answer of a release came, in seconds since 1970; 0 when none did."""
        return max((answer.at for answer in self.answers if answer.release == release), default=0.0)

    def gap_ms(self) -> float:
        """The longest time in which no customer at all was served, in milliseconds."""
        times = sorted(answer.at for answer in self.answers if answer.status == 201)
        return 1000 * max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)

    def within(self, began: float, ended: float) -> Seen:
        """What of it was sent between two moments, in seconds since 1970."""
        return Seen(
            [answer for answer in self.answers if began <= answer.sent <= ended],
            [loss for loss in self.losses if began <= loss.sent <= ended],
        )

    def lost_nothing(self) -> Seen:
        """Return this; fail unless each request was answered and each order confirmed."""
        assert self.answers, "no request was answered: the load did not run"
        assert not self.losses, f"{self}\n{self.losses[:5]}"
        assert not self.wrong, f"{self}\n{self.wrong[:5]}"
        return self

    def __str__(self) -> str:
        statuses = Counter(str(answer.status) for answer in self.answers)
        releases = Counter(answer.release for answer in self.answers)
        refused = sum(loss.refused for loss in self.losses)
        return (
            f"{len(self.answers) + len(self.losses)} requests, {len(self.losses) - refused} cut, "
            f"{refused} without a connection, answers {dict(statuses)} from {dict(releases)}"
        )


class Shop:
    """A customer's account in the shop, made through its API, and products that never run out."""

    def __init__(self, site: Site, database: Host | None, clients: int) -> None:
        self.site, self.database = site, database
        name = uuid.uuid4().hex
        login = {"email": f"load-{name}@shop.example", "password": PASSWORD}
        self._post("/api/v1/users", {**login, "name": "Load"}, 201)
        form = f"username=load-{name}%40shop.example&password={PASSWORD.replace(' ', '+')}"
        said = site.request(
            "POST",
            "/api/v1/auth/login",
            {"Content-Type": "application/x-www-form-urlencoded"},
            form.encode(),
        )
        assert said.status == 200, said
        self.token = str(said.json()["access_token"])
        self.account = str(self._post("/api/v1/accounts", {"name": "Load"}, 201).json()["id"])
        # One product a client: what is measured is the switch, not the lock of a row.
        self.products = [str(uuid.uuid4()) for _ in range(clients)]
        rows = ", ".join(
            f"('{product}', 'LOAD-{product}', 'Load', 'load', 1.00, {PLENTY})" for product in self.products
        )
        self.sql(f"INSERT INTO shop.products (id, sku, name, category, price, stock) VALUES {rows}")

    def sql(self, statement: str) -> str:
        """What the database says to a statement, a row a line."""
        assert self.database
        return hosts.sql(self.database, statement)

    def _post(self, path: str, body: dict[str, Any], status: int) -> Response:
        headers = {"Content-Type": "application/json"}
        if path != "/api/v1/users":
            headers["Authorization"] = f"Bearer {self.token}"
        said = self.site.request("POST", path, headers, json.dumps(body).encode())
        assert said.status == status, said
        return said

    def orders(self) -> int:
        """How many orders the database has of this customer."""
        return int(self.sql(f"SELECT count(*) FROM shop.orders WHERE account_id = '{self.account}'"))

    def keys(self) -> set[str]:
        """The keys of the orders that the database has of this customer."""
        rows = self.sql(f"SELECT idempotency_key FROM shop.orders WHERE account_id = '{self.account}'")
        return set(rows.split())

    def load(self, rate: float) -> Load:
        """Customers at `rate` orders a second, from the beginning of a `with` block to its end."""
        path = f"/api/v1/accounts/{self.account}/orders"
        return Load(Wish(self.site.address, str(self.site.ca), path, self.token, self.products, rate))

    def readers(self, clients: int, rate: float) -> Load:
        """Customers who look around instead, `rate` times a second."""
        path = "/api/v1/products?limit=1"
        return Load(Wish(self.site.address, str(self.site.ca), path, self.token, [""] * clients, rate, "GET"))


class Load:
    """Use as a context: `seen` holds what the customers saw once it has ended."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        # What a command becomes that runs where the site is reached.
        self.there: Callable[[list[str]], list[str]] = lambda argv: argv
        self.seen = Seen()

    def __enter__(self) -> Load:
        self._output = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            self.there([sys.executable, "-m", "tests.e2e.load", json.dumps(asdict(self.wish))]),
            stdin=subprocess.PIPE,
            stdout=self._output,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The end of its input is the end of the load, also when this process dies.
        self._process.communicate()
        self._output.seek(0)
        said = json.loads(self._output.read() or "{}")
        self._output.close()
        self.seen = Seen(
            [Answer(*row) for row in said.get("answers", [])], [Loss(*row) for row in said.get("losses", [])]
        )


class _Client:
    """One keep-alive connection, made anew when the server closes it between two requests."""

    def __init__(self, wish: Wish, number: int, seen: Seen) -> None:
        self.wish, self.number, self.seen = wish, number, seen
        self.context = ssl.create_default_context(cafile=wish.ca)
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def run(self, ended: asyncio.Event) -> None:
        pause = len(self.wish.products) / self.wish.rate
        due = time.monotonic() + pause * self.number / len(self.wish.products)
        while not ended.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pause, time.monotonic() - pause)
            await self._order()
        self._close()

    def _close(self) -> None:
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None

    async def _order(self) -> None:
        key, sent = uuid.uuid4().hex, time.time()
        try:
            async with asyncio.timeout(PATIENCE):
                if self.writer is None:
                    host, _, port = self.wish.address.partition(":")
                    self.reader, self.writer = await asyncio.open_connection(
                        host, int(port or 443), ssl=self.context
                    )
                status, release = await self._ask(key)
        except (OSError, EOFError, ValueError, TimeoutError) as failure:
            reason = f"{type(failure).__name__}: {failure}"
            self.seen.losses.append(Loss(sent, time.time(), self.writer is None, reason))
            self._close()
            await asyncio.sleep(PAUSE)
        else:
            self.seen.answers.append(Answer(sent, time.time(), status, release, key))

    async def _ask(self, key: str) -> tuple[int, str]:
        assert self.reader
        assert self.writer
        items = [{"product_id": self.wish.products[self.number], "quantity": 1}]
        body = json.dumps({"items": items}) if self.wish.method == "POST" else ""
        self.writer.write(
            f"{self.wish.method} {self.wish.path} HTTP/1.1\r\nHost: {self.wish.address}\r\n"
            f"Authorization: Bearer {self.wish.token}\r\nIdempotency-Key: {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        await self.reader.readexactly(int(fields["content-length"]))
        if fields.get("connection") == "close":
            self._close()
        return int(head[0].split()[1]), fields.get("x-release", "")


async def _run(wish: Wish) -> Seen:
    seen, ended = Seen(), asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    clients = [_Client(wish, number, seen) for number in range(len(wish.products))]
    await asyncio.gather(*(client.run(ended) for client in clients))
    return seen


def main(arguments: Sequence[str]) -> None:
    """Order until standard input ends; write what was seen."""
    seen = asyncio.run(_run(Wish(**json.loads(arguments[0]))))
    rows = {
        "answers": [list(asdict(answer).values()) for answer in seen.answers],
        "losses": [list(asdict(loss).values()) for loss in seen.losses],
    }
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
