"""What customers get after a switch can take the release back, and our own probe asks as they do."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fabfile.errors import FailedError, UnfinishedError
from fabfile.hosts.environment import Public
from fabfile.rollout import deploy, rollback
from fabfile.traffic import public
from fabfile.traffic.probe import Probe, Watched, ask_once
from fabfile.turn import steps
from tests.unit.fabfile.fake_fleet import R1, R2, R3, FakeRemote
from tests.unit.fabfile.test_rollouts import World, world

__all__ = ["world"]
REFUSED = "HTTP 421: the service does not answer for this host name"


class Customers:
    """A probe that sees what the hosts serve; refused: the releases whose answers no customer can use."""

    watches, ends = True, None

    def __init__(self, world: World, refused: set[str], before: bool = True) -> None:
        self.world, self.refused = world, refused
        self.public = replace(world.environment.public, path="/")
        self.seen, self.good, self.reached = Watched(requests=9, lost=3, faults=["no answer"]), before, before
        self.answered = float("inf")

    def __enter__(self) -> Customers:
        return self

    def __exit__(self, *_: object) -> None:
        return

    @property
    def latest(self) -> str:
        return str(self.world.hosts["app-1"].live)

    @property
    def fault(self) -> str:
        return REFUSED if self.latest in self.refused else ""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public.require, "__defaults__", (0.1,))


def watched(monkeypatch: pytest.MonkeyPatch, customers: Customers) -> None:
    monkeypatch.setattr(deploy, "Probe", lambda _: customers)
    monkeypatch.setattr(rollback, "Probe", lambda _: customers)


@pytest.mark.parametrize("hosts", [3, 1])
def test_a_release_that_refuses_its_customers_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch, hosts: int
) -> None:
    """It is ready by its own word, and each real request is a 421: no health check sees that."""
    without = ["app-2", "app-3"][: 3 - hosts]
    watched(monkeypatch, Customers(world, {R3}))
    with pytest.raises(FailedError, match=r"customers do not get it: .* answers HTTP 421") as failed:
        world.deploy(R3, without=without)
    assert "Every host went back" in str(failed.value)
    assert world.live == {R2}


@pytest.mark.parametrize("without", [(), ("app-2", "app-3")], ids=["three hosts", "one host"])
def test_a_rollback_that_customers_do_not_get_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...]
) -> None:
    watched(monkeypatch, Customers(world, {R1}))
    with pytest.raises(FailedError, match="was well before"):
        world.rollback(without=without)
    assert world.live == {R2}


def test_a_rollback_is_not_refused_for_an_edge_that_is_broken_and_is_not_called_good(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(monkeypatch, Customers(world, {R1, R2}, before=False))
    with pytest.raises(
        UnfinishedError, match="is live on every app host, but customers do not get it"
    ) as ended:
        world.rollback()
    assert ended.value.exit_code == 6
    assert world.live == {R1}


def test_a_deploy_behind_an_edge_that_does_not_serve_the_name_moves_no_traffic(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that nginx refused and the service took: whoever switches then refuses every customer."""
    watched(monkeypatch, Customers(world, {R3}, before=False))
    with pytest.raises(FailedError, match="customers do not reach what is live either") as failed:
        world.deploy(R3)
    assert "No traffic was moved" in str(failed.value)
    assert world.live == {R2}
    assert all(host.running == {R2} for host in world.hosts.values())


def test_every_host_is_asked_by_the_public_name(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.environment = replace(
        world.environment, public=replace(world.environment.public, path="/api/v1/products?limit=1")
    )
    watched(monkeypatch, Customers(world, set()))
    seen: list[list[str]] = []
    original = FakeRemote.perform

    def noting(self: FakeRemote, *commands: list[str], seconds: float = 60.0) -> Any:
        seen.extend(map(list, commands))
        return original(self, *commands, seconds=seconds)

    monkeypatch.setattr(FakeRemote, "perform", noting)
    world.deploy(R3)
    for step in ("gate", "verify"):
        asked = [words for words in seen if words[0] == step]
        assert len(asked) == 3
        assert all({"--public=shop.test", "--path=/api/v1/products?limit=1"} <= set(words) for words in asked)


class Service(http.server.BaseHTTPRequestHandler):
    """Refuses the name on every path but the health checks."""

    protocol_version = "HTTP/1.1"
    status = 421
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["User-Agent"]))
        status = 200 if self.path.startswith("/health/") else self.status
        body = b'{"code":"maintenance"}' if status == 503 else b"{}"
        self.send_response(status)
        self.send_header("X-Release", R2)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Public]:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    words += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=shop.test"]
    subprocess.run([*words, "-addext", "subjectAltName=DNS:shop.test"], check=True, capture_output=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Service.asked = []
    yield Public("shop.test", "127.0.0.1", server.server_port, certificate, "/api/v1/products?limit=1")
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "lost", "paths"),
    [
        (200, False, {"/api/v1/products?limit=1"}),
        (421, True, {"/api/v1/products?limit=1"}),
        (500, True, {"/api/v1/products?limit=1"}),
        # nginx answers for the service, and that is meant: how it does behind that is asked by its health.
        (503, False, {"/api/v1/products?limit=1", "/health/live"}),
        (404, False, {"/api/v1/products?limit=1"}),
    ],
)
def test_the_probe_asks_for_what_every_check_applies_to(
    edge: Public, monkeypatch: pytest.MonkeyPatch, status: int, lost: bool, paths: set[str]
) -> None:
    monkeypatch.setattr(Service, "status", status)
    answered = threading.Event()
    with Probe(edge) as probe:
        for _ in range(200):
            if probe.seen.requests > 3:
                break
            answered.wait(0.05)
    assert {path for path, _ in Service.asked} == paths
    assert {agent for _, agent in Service.asked} == {"slipway-probe"}
    assert (probe.seen.lost > 0) == lost
    assert probe.reached
    assert probe.good != lost


def test_an_authority_that_is_not_there_is_told_and_ends_nothing(edge: Public, tmp_path: Path) -> None:
    missing = replace(edge, ca=tmp_path / "ca.pem")
    assert "cannot be read: No such file" in str(ask_once(missing))
    with Probe(missing) as probe:
        probe._thread.join(10)
    assert (probe.seen.lost, probe.good) == (1, False)
    assert "cannot be read" in probe.seen.faults[0]


def test_an_environment_that_nobody_here_reaches_is_not_watched(edge: Public) -> None:
    with Probe(replace(edge, path="")) as probe:
        public.require(probe, R3)
        public.complain(probe, R3, "lab")
    assert (probe.seen.requests, Service.asked) == (0, [])


def test_a_bake_is_told_by_which_name_customers_come() -> None:
    shop = Public("shop.test", "192.0.2.1", 443, None, "/api/v1/products")

    assert steps.baking(R1, 10, 1, shop)[-1] == "--public=shop.test"
    assert steps.baking(R1, 10, 1, replace(shop, name="*.shop.test"))[-1] == "--max-errors=1"
