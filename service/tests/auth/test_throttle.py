"""Who is refused after too many failed logins, for how long, and who is not."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import argon2
import httpx2
import limits.storage.memory
import pytest
import structlog

from authentication import EMAIL, PASSWORD, log_in, register
from conftest import Database, Serve
from problems import assert_problem
from shop.core.limits import network_of
from shop.main import create_app
from shop.settings import Settings

pytestmark = pytest.mark.anyio

From = Callable[[str], httpx2.AsyncClient]
ServeFrom = Callable[[Settings], AbstractAsyncContextManager[From]]
HOME = "203.0.113.7"
AWAY = "198.51.100.9"


@pytest.fixture
def serve_from() -> ServeFrom:
    """Runs the application and yields a function that makes clients of it with an address of their own."""

    @asynccontextmanager
    async def serving(settings: Settings) -> AsyncIterator[From]:
        app = create_app(settings)

        def client(address: str) -> httpx2.AsyncClient:
            transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False, client=(address, 40000))
            return httpx2.AsyncClient(transport=transport, base_url="http://shop.test")

        async with app.router.lifespan_context(app):
            yield client

    return serving


async def fail(client: httpx2.AsyncClient, times: int, email: str = EMAIL) -> None:
    """Log in with a wrong password, as often."""
    for _ in range(times):
        assert_problem(await log_in(client, email, "wrong"), 401)


async def test_five_failures_a_minute_are_allowed_and_the_sixth_login_is_told_how_long_to_wait(
    database: Database, serve_from: ServeFrom
) -> None:
    async with serve_from(database.settings()) as client_from:
        client = client_from(HOME)
        await register(client)
        await fail(client, 5)
        # The right password is refused as well: otherwise a 429 would not end the guessing.
        for password in ("wrong", PASSWORD):
            response = await log_in(client, password=password)
            assert_problem(response, 429, "too_many_logins")
            seconds = int(response.headers["retry-after"])
            assert 50 <= seconds <= 60
            assert response.headers["ratelimit-policy"] == '"login";q=5;w=60'
            assert response.headers["ratelimit"] == f'"login";r=0;t={seconds}'
            assert f"{seconds} seconds" in response.json()["message"]


async def test_the_window_moves_and_lets_one_in_as_each_failure_grows_old(
    database: Database, serve_from: ServeFrom, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = 0.0
    real = time.time

    class Clock:
        """The time module, ahead of the world."""

        @staticmethod
        def time() -> float:
            return real() + ahead

    async with serve_from(database.settings()) as client_from:
        client = client_from(HOME)
        await register(client)
        monkeypatch.setattr(limits.storage.memory, "time", Clock)
        await fail(client, 3)
        ahead = 30
        await fail(client, 2)
        assert (await log_in(client)).status_code == 429
        ahead = 61
        await fail(client, 3)
        assert (await log_in(client)).status_code == 429
        ahead = 125
        assert (await log_in(client)).status_code == 200


@pytest.mark.parametrize(
    "written",
    ["ADA@SHOP.TEST", " ada@shop.test", "Ada@Shop.Test\t", "\uff41da@shop.test", "a\uff44a@shop.test"],
)
async def test_another_spelling_is_the_same_account_from_any_network(
    database: Database, serve_from: ServeFrom, written: str
) -> None:
    async with serve_from(database.settings()) as client_from:
        await register(client_from(HOME))
        for number in range(20):
            await fail(client_from(f"203.0.113.{number + 10}"), 1, written)
        assert_problem(await log_in(client_from(AWAY)), 429, "too_many_logins")


async def test_a_network_is_refused_whatever_account_it_tries_and_others_are_not(
    database: Database, serve_from: ServeFrom
) -> None:
    async with serve_from(database.settings()) as client_from:
        await register(client_from(HOME))
        for number in range(20):
            # One host of a /64 has as many addresses as it likes.
            await fail(client_from(f"2001:db8:0:7::{number:x}:1"), 1, f"guess-{number}@shop.test")
        assert (await log_in(client_from("2001:db8:0:7:ffff:ffff:ffff:ffff"))).status_code == 429
        assert (await log_in(client_from("2001:DB8:0:7::99"))).status_code == 429
        assert (await log_in(client_from("2001:db8:0:8::1"))).status_code == 200
        assert (await log_in(client_from(HOME))).status_code == 200


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:0DB8:0:0:ffff::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("x" * 1000, "x" * 64),
    ],
)
def test_the_network_of_an_address(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_success_is_not_counted_and_takes_nothing_from_the_counts(
    database: Database, serve_from: ServeFrom
) -> None:
    async with serve_from(database.settings()) as client_from:
        client = client_from(HOME)
        await register(client)
        await register(client, email="bob@shop.test")
        for _ in range(12):
            assert (await log_in(client)).status_code == 200
        await fail(client, 5, "bob@shop.test")
        assert (await log_in(client, "bob@shop.test")).status_code == 429


async def test_one_who_mistypes_locks_out_neither_the_office_nor_the_account_elsewhere(
    database: Database, serve_from: ServeFrom
) -> None:
    async with serve_from(database.settings()) as client_from:
        client = client_from(HOME)
        await register(client)
        await register(client, email="bob@shop.test")
        await fail(client, 5, "bob@shop.test")
        assert (await log_in(client, "bob@shop.test")).status_code == 429
        assert (await log_in(client)).status_code == 200
        assert (await log_in(client_from(AWAY), "bob@shop.test")).status_code == 200


async def test_a_thousand_guesses_at_once_verify_hardly_more_than_twenty(
    database: Database, serve_from: ServeFrom, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = 0
    verify = argon2.PasswordHasher.verify

    def spy(hasher: argon2.PasswordHasher, hashed: str, password: str) -> bool:
        nonlocal verified
        verified += 1
        return verify(hasher, hashed, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", spy)
    statuses: Counter[int] = Counter()
    async with serve_from(database.settings()) as client_from:
        await register(client_from(HOME))

        async def guess(number: int) -> None:
            client = client_from(f"2001:db8:{number:x}::1")
            statuses[(await log_in(client, password=f"guess {number}")).status_code] += 1

        start = time.monotonic()
        for batch in range(20):
            async with anyio.create_task_group() as group:
                for number in range(50):
                    group.start_soon(guess, batch * 50 + number)
        taken = time.monotonic() - start
        assert (await log_in(client_from(AWAY))).status_code == 429
    cores = 64
    assert 20 <= verified <= 20 + cores
    assert statuses == {401: verified, 429: 1000 - verified}
    assert taken < 30


async def test_another_path_to_the_login_is_no_way_around(database: Database, serve_from: ServeFrom) -> None:
    async with serve_from(database.settings()) as client_from:
        client = client_from(HOME)
        await register(client)
        await fail(client, 5)
        form = {"username": EMAIL, "password": PASSWORD}
        for path in (
            "/api/v1/auth/login/",
            "/api/v1/auth/LOGIN",
            "/api/v1/auth//login",
            "/api/v1/auth/login%2f",
        ):
            assert_problem(await client.post(path, data=form), 404)
        for path in ("/api/v1/auth/login?x=1", "/api/v1/auth/%6cogin"):
            assert_problem(await client.post(path, data=form), 429)
        headers = {"X-Forwarded-For": AWAY, "X-Real-IP": AWAY, "Forwarded": f"for={AWAY}"}
        assert_problem(await client.post("/api/v1/auth/login", data=form, headers=headers), 429)


async def test_the_operator_chooses_the_number(database: Database, serve_from: ServeFrom) -> None:
    async with serve_from(database.settings(login_attempts_per_minute=2)) as client_from:
        client = client_from(HOME)
        await register(client)
        await fail(client, 2)
        assert_problem(await log_in(client), 429)


async def test_without_the_redis_that_is_configured_each_worker_counts_for_itself_and_says_so_once(
    database: Database, serve: Serve, tmp_path: Path
) -> None:
    settings = database.settings(redis_url=f"unix://{tmp_path}/none.sock")
    with structlog.testing.capture_logs() as events:
        async with serve(settings) as client:
            await register(client)
            await fail(client, 5)
            assert_problem(await log_in(client), 429, "too_many_logins")
    said = [event for event in events if event["event"].startswith("login_limit")]
    assert [event["event"] for event in said] == ["login_limit_in_memory"]
    assert said[0]["log_level"] == "warning"
