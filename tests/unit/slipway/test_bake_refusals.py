"""Baking: a release that answers, and refuses customers what they got before, does not keep the traffic."""

from __future__ import annotations

import pytest

from tests.unit.conftest import Slipway
from tests.unit.slipway.support import OTHER, RELEASE, Host
from tests.unit.slipway.test_bake import line, requests, serving

pytestmark = pytest.mark.usefixtures("quick_systemd")

__all__ = ["serving"]
SHOP = "shop.test"
BY_NAME = ["--public", SHOP]
BROWSERS = ("192.0.2.7", "192.0.2.8", "192.0.2.9")


def asked(
    status: int, path: str = "/api/v1/products?limit=1", client: str = BROWSERS[0], release: str = RELEASE
) -> str:
    return line(status, release, method="GET", uri=path, host=SHOP, client=client)


def before(host: Host, *paths: str) -> None:
    """The release before answered these, to customers and by the public name."""
    host.access_log.write_text("".join(asked(200, path, release=OTHER) for path in paths))


def by_turns(number: int, status: int, path: str) -> str:
    """Of three customers, one after the other."""
    return asked(status, path, BROWSERS[number % 3])


def test_a_release_that_does_not_know_its_public_name_does_not_keep_the_traffic(
    serving: Host, slipway: Slipway
) -> None:
    with requests(serving, lambda number: asked(421)):
        answer = slipway("bake", RELEASE, "--seconds", "10", *BY_NAME)

    assert answer.error == "bake-failed"
    assert "421 to its own public name" in answer.json["error"]["details"]["reason"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_customers_got_before_and_nobody_gets_now_takes_the_release_back(
    serving: Host, slipway: Slipway, status: int
) -> None:
    before(serving, "/api/v1/products", "/api/v1/orders")

    with requests(
        serving, lambda number: by_turns(number, status, ("/api/v1/products", "/api/v1/orders")[number % 2])
    ):
        answer = slipway("bake", RELEASE, "--seconds", "10", *BY_NAME)

    assert answer.error == "bake-failed"
    details = answer.json["error"]["details"]
    assert f"GET /api/v1/orders ({status})" in details["reason"]
    assert details["refused"] >= 20


@pytest.mark.parametrize(
    "lines",
    [
        # Scanners: what they ask for was never answered.
        lambda number: by_turns(number, 404, f"/wp-{number}.php"),
        # One customer whose client is broken, however often it asks.
        lambda number: asked(400, "/api/v1/products", "198.51.100.66"),
        # Whoever is refused there is refused for what they sent: others are answered.
        lambda number: by_turns(number, 401 if number % 10 else 200, "/api/v1/products"),
        # A page that was taken away on purpose, beside all that is asked for.
        lambda number: by_turns(number, 404 if number % 4 == 0 else 200, ("/old", "/api/v1/products")[number % 4 > 0]),
        # By other names: a scanner's, or that of a host.
        lambda number: by_turns(number, 421, "/api/v1/products").replace(SHOP, "evil.test"),
        # Too many, of somebody who was told so.
        lambda number: by_turns(number, 429, "/api/v1/products"),
    ],
)  # fmt: skip
def test_what_strangers_send_takes_nothing_back(serving: Host, slipway: Slipway, lines) -> None:  # type: ignore[no-untyped-def]
    before(serving, "/api/v1/products", "/old")

    with requests(serving, lines):
        answer = slipway("bake", RELEASE, "--seconds", "1.5", *BY_NAME)

    assert answer.code == 0, answer.message
    assert answer.result["requests"] >= 20


def test_only_the_end_of_a_log_is_read_for_what_was_answered_before(serving: Host, slipway: Slipway) -> None:
    """A day's log has gigabytes, and a bake has a second."""
    before(serving, "/long/ago")
    with serving.access_log.open("a") as log:
        log.write(asked(200, "/api/v1/products", release=OTHER) * 8000)

    with requests(serving, lambda number: by_turns(number, 404, "/long/ago")):
        assert slipway("bake", RELEASE, "--seconds", "1.5", *BY_NAME).code == 0
