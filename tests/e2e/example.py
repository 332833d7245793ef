"""An example's service on hosts of its own, and who uses it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.conftest import boot, site_of
from tests.e2e.fab_runs import Fab
from tests.e2e.web import PATIENCE, Site
from tests.lab.host import Host
from tests.lab.lab import Lab

RATE = 40.0


@dataclass
class Example:
    """An inventory's service on its hosts."""

    app: str
    lab: Lab
    site: Site
    fab: Fab

    @property
    def app_hosts(self) -> list[Host]:
        return [self.lab.host(name) for name in self.lab.groups["app"]]

    @property
    def host(self) -> Host:
        """The first that runs it."""
        return self.app_hosts[0]

    def live(self) -> str:
        return hosts.output(self.host, f"basename $(readlink /srv/{self.app}/current)")

    def bundle(self) -> Path:
        """Of the live release, as the first run built it."""
        return ROOT / f"build/bundles/{self.app}-{self.live()}.tar"

    def workers(self, host: Host | None = None) -> list[str]:
        """The processes that run on a host, or the first, as release:name."""
        listed = hosts.output(
            host or self.host,
            f"systemctl list-units --plain --no-legend '{self.app}-process@*' --state=active | cut -d' ' -f1",
        )
        return [unit.partition("@")[2].removesuffix(".service") for unit in listed.split()]

    def sql(self, statement: str) -> str:
        return hosts.sql(self.lab.host(self.lab.groups["db"][0]), statement, database=self.app)


@dataclass
class Writing:
    """Use as a context: notes are written one after the other over a kept connection; nothing is tried again.

    path, body, headers: what is sent, where it is something else than a note.
    """

    site: Site
    path: str = "/api/notes"
    body: dict[str, str] = field(default_factory=lambda: {"title": "load", "body": "a b c"})
    headers: dict[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    releases: set[str] = field(default_factory=set)
    losses: list[str] = field(default_factory=list)

    def __enter__(self) -> Writing:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _write(self) -> None:
        context = self.site.context()
        connection = http.client.HTTPSConnection(self.site.address, timeout=PATIENCE, context=context)
        headers, body = {"Content-Type": "application/json", **self.headers}, json.dumps(self.body)
        while not self._ended.wait(1 / RATE):
            try:
                connection.request("POST", self.path, body, headers)
                said = connection.getresponse()
                said.read()
            except (OSError, http.client.HTTPException) as failure:
                self.losses.append(repr(failure))
                connection.close()
            else:
                self.statuses.append(said.status)
                self.releases.add(str(said.headers["X-Release"]))
        connection.close()


class WebSocket:
    """A connection to the site that the service has taken as a WebSocket (RFC 6455); texts below 64 KiB."""

    def __init__(self, site: Site, path: str) -> None:
        self.stream = site.handshake(site.context())
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {site.address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.answer = b""
        while b"\r\n\r\n" not in self.answer:
            self.answer += self._read(1)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.stream.recv(count - len(data))
            assert chunk, f"the connection ended\n{data!r}"
            data += chunk
        return data

    def receive(self) -> Any:
        """The next text, read as JSON; a ping meanwhile is answered, as a browser does."""
        while True:
            kind, length = self._read(2)
            if length == 126:
                length = int.from_bytes(self._read(2), "big")
            content = self._read(length)
            if kind & 15 == 1:
                return json.loads(content)
            if kind & 15 == 9:
                # Masked with zeros it is what it was.
                self.stream.sendall(bytes([0x8A, 0x80 | len(content), 0, 0, 0, 0]) + content)
            assert kind & 15 != 8, f"it was closed: {content!r}"

    def receives(self, number: int) -> None:
        """Fail unless the note with this number is heard of, however many come before it."""
        while self.receive()["id"] != number:
            pass


def serving(app: str, variable: str, inventory: str, health: str) -> Iterator[Example]:
    """The service on hosts that were bare. variable: what names another inventory than this."""
    for lab in boot(variable, inventory):
        example = Example(app, lab, site_of(lab), Fab(lab.site.inventory.name))
        try:
            Playbooks(lab.site.inventory).run("site.yml").succeeded()
            hosts.until(f"{app} serves", partial(answers, example.site, health), seconds=60)
        except BaseException:
            # Nobody comes back to it: no test has begun.
            lab.down()
            raise
        yield example


def answers(site: Site, path: str) -> bool:
    return site.get(path).status == 200


def write(example: Example, title: str) -> int:
    body = json.dumps({"title": title, "body": "one two three"}).encode()
    said = example.site.request("POST", "/api/notes", {"Content-Type": "application/json"}, body)
    assert said.status == 201, said
    return int(said.json()["id"])
