"""A renewed certificate is served from the next handshake on, by the processes that serve already."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.templates import checkers
from tests.templates.conftest import Trees
from tests.templates.rendering import SUITES
from tests.templates.test_nginx_answers import Site, certify, running

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks the platforms' own nginx")

RENEWALS = 10
CLIENTS = 4


@pytest.mark.parametrize("platform", SUITES)
def test_ten_renewals_cut_no_connection_and_each_is_served(trees: Trees, platform: str) -> None:
    if reason := checkers.unavailable(SUITES[platform]):
        pytest.skip(reason)
    with running(trees[f"lab-{platform}", "shop-1"].root, "shop.conf", platform) as site:
        folder = site.socket.parent
        workers = workers_of(folder)
        with posting(site) as lost:
            for _ in range(RENEWALS):
                certify(folder)
                assert served(folder) == (folder / "site.pem").read_text()

        assert lost == []
        assert workers_of(folder) == workers


@contextmanager
def posting(site: Site) -> Iterator[list[str]]:
    """Clients that post over connections they keep; yields what was not answered, complete when the block has ended."""
    lost: list[str] = []
    answered = [0] * CLIENTS
    over = threading.Event()

    # nginx reads the file twice a handshake: one that falls on the rename is refused, before anything was sent.
    handshakes = [handshake(site.socket.parent) for _ in range(CLIENTS)]

    def post(number: int) -> None:
        connection = http.client.HTTPConnection("shop.test")
        connection.sock = handshakes[number]
        # nginx ends a connection after a thousand requests, and says so.
        while not over.is_set() and answered[number] < 900:
            try:
                connection.request("POST", "/orders", b"x" * 200)
                connection.getresponse().read()
            except (OSError, http.client.HTTPException) as failure:
                lost.append(f"client {number} after {answered[number]} answers: {failure!r}")
                return
            answered[number] += 1

    clients = [threading.Thread(target=post, args=[number]) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    yield lost
    over.set()
    for client in clients:
        client.join(30)
    assert min(answered) > RENEWALS, f"too few requests to tell: {answered}"


def handshake(folder: Path) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    plain.settimeout(20)
    plain.connect(str(folder / "tls.sock"))
    return context.wrap_socket(plain, server_hostname="shop.test")


def served(folder: Path) -> str:
    """The certificate that a new client is shown."""
    with handshake(folder) as connection:
        shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    return ssl.DER_cert_to_PEM_cert(shown)


def workers_of(folder: Path) -> set[str]:
    """The processes that serve."""
    nginx = (folder / "pid").read_text().strip()
    return set(Path(f"/proc/{nginx}/task/{nginx}/children").read_text().split())
