"""What a user gets who logs in."""

import math
import time
from collections.abc import Iterator
from typing import Any

import anyio
import argon2
import httpx2
import jwt
import pytest

from authentication import EMAIL, PASSWORD, log_in, me, refresh, register
from conftest import SECRET_KEY, Database, Serve, SignIn
from problems import assert_problem
from shop.core.passwords import LONGEST_QUEUE, Passwords

pytestmark = pytest.mark.anyio


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The hashes that argon2 really verified."""
    hashes: list[str] = []
    verify = argon2.PasswordHasher.verify

    def spy(hasher: argon2.PasswordHasher, hashed: Any, password: Any) -> Any:
        hashes.append(hashed)
        return verify(hasher, hashed, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", spy)
    yield hashes


async def test_a_password_is_answered_with_two_tokens_that_no_cache_keeps(client: httpx2.AsyncClient) -> None:
    user_id = await register(client)
    response = await log_in(client)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert body["token_type"] == "bearer"
    assert body["expires_in"] == 30 * 60
    assert (await me(client, body["access_token"])).json()["id"] == user_id


async def test_a_token_says_who_for_whom_and_for_how_long(client: httpx2.AsyncClient) -> None:
    user_id = await register(client)
    body = (await log_in(client)).json()
    for name, kind, seconds in (("access_token", "access", 1800), ("refresh_token", "refresh", 14 * 86_400)):
        claims = jwt.decode(body[name], SECRET_KEY, algorithms=["HS256"], audience="shop", issuer="shop")
        assert claims["sub"] == user_id
        assert claims["typ"] == kind
        assert claims["exp"] - claims["iat"] == seconds
        assert math.isclose(claims["iat"], time.time(), abs_tol=30)
        assert {"jti", "ver"} < set(claims)


@pytest.mark.parametrize(
    "written",
    [
        "ADA@shop.TEST",
        "  ada@shop.test ",
        "ada@shop.test\t",
        "\uff41\uff44\uff41@shop.test",
        "\u00a0ada@shop.test",
    ],
)
async def test_an_address_is_known_however_it_is_written(client: httpx2.AsyncClient, written: str) -> None:
    await register(client)
    assert (await log_in(client, email=written)).status_code == 200


async def test_a_password_is_the_same_in_both_forms_of_unicode(client: httpx2.AsyncClient) -> None:
    await register(client, password="cafe\u0301 au lait")
    assert (await log_in(client, password="caf\u00e9 au lait")).status_code == 200


async def test_every_failed_login_has_the_same_answer(client: httpx2.AsyncClient, database: Database) -> None:
    await register(client)
    await register(client, email="off@shop.test")
    await database.execute("UPDATE users SET is_active = false WHERE email = 'off@shop.test'")
    answers = [
        await log_in(client, password="wrong"),
        await log_in(client, email="nobody@shop.test"),
        await log_in(client, email="off@shop.test"),
    ]
    for answer in answers:
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    shown = [{**answer.json(), "request_id": None} for answer in answers]
    assert shown[0] == shown[1] == shown[2]


async def test_an_unknown_user_costs_the_verification_of_a_hash_like_any_other(
    client: httpx2.AsyncClient, database: Database, verified: list[str]
) -> None:
    await register(client)
    stored = (await database.fetch("SELECT hashed_password FROM shop.users"))[0][0]
    for email in (EMAIL, "nobody@shop.test", "nobody\x7f@shop.test", "ädä@shop.test"):
        assert (await log_in(client, email=email, password="wrong")).status_code == 401
    assert len(verified) == 4
    assert verified[0] == stored
    for hashed in verified[1:]:
        assert hashed != stored
        assert argon2.extract_parameters(hashed) == argon2.extract_parameters(stored)


async def test_a_user_without_a_password_cannot_log_in_and_costs_the_same(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn, verified: list[str]
) -> None:
    user = await sign_in(database)
    for password in ("none", "!", "x"):
        assert (await log_in(client, f"{user.user_id}@shop.test", password)).status_code == 401
    assert len(verified) == 3


async def test_passwords_are_kept_as_argon2id_and_hashed_again_when_the_parameters_change(
    database: Database, serve: Serve
) -> None:
    async def stored() -> str:
        hashed: str = (await database.fetch("SELECT hashed_password FROM shop.users"))[0][0]
        return hashed

    async with serve(database.settings()) as client:
        await register(client)
        first = await stored()
        assert first.startswith("$argon2id$v=19$m=8,t=1,p=1$")
        assert (await log_in(client)).status_code == 200
        assert await stored() == first
    async with serve(database.settings(password_memory_kib=64, password_iterations=2)) as client:
        assert (await log_in(client, password="wrong")).status_code == 401
        assert await stored() == first
        assert (await log_in(client)).status_code == 200
        assert (await stored()).startswith("$argon2id$v=19$m=64,t=2,p=1$")
        assert (await log_in(client)).status_code == 200


async def test_hashing_leaves_the_loop_free_and_takes_no_more_threads_than_cores() -> None:
    passwords = Passwords(memory_kib=32_768, iterations=2)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            start = time.monotonic()
            await anyio.sleep(0.001)
            longest = max(longest, time.monotonic() - start)

    async with anyio.create_task_group() as watching:
        watching.start_soon(watch)
        start = time.monotonic()
        async with anyio.create_task_group() as hashing:
            for _ in range(6):
                hashing.start_soon(passwords.hash, PASSWORD)
        taken = time.monotonic() - start
        watching.cancel_scope.cancel()
    assert longest < taken / 2, f"the loop stood still for {longest:.3f} s of {taken:.3f} s"


async def test_more_logins_than_can_wait_are_told_to_come_back() -> None:
    passwords = Passwords(memory_kib=8, iterations=1)
    gate = anyio.Event()
    refused = []

    async def attempt() -> None:
        try:
            await passwords.verify(PASSWORD, None, gate.wait)
        except Exception as error:
            refused.append(error)
            gate.set()

    async with anyio.create_task_group() as group:
        for _ in range(LONGEST_QUEUE * 2 + 1):
            group.start_soon(attempt)
    assert refused
    assert {(error.status, error.code) for error in refused} == {(503, "passwords_busy")}


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"username": EMAIL},
        {"password": PASSWORD},
        {"username": EMAIL, "password": "x" * 257},
        {"username": "x" * 255, "password": PASSWORD},
        {"username": EMAIL + "\x00", "password": PASSWORD},
        {"username": EMAIL, "password": PASSWORD + "\x00"},
        {"username": EMAIL, "password": PASSWORD, "grant_type": "client_credentials"},
    ],
)
async def test_a_form_that_cannot_be_a_login_is_refused(
    client: httpx2.AsyncClient, form: dict[str, str]
) -> None:
    await register(client)
    problem = assert_problem(await client.post("/api/v1/auth/login", data=form), 422, "invalid_request")
    assert PASSWORD not in str(problem)


async def test_a_password_of_a_megabyte_is_refused_before_it_is_hashed(
    client: httpx2.AsyncClient, verified: list[str]
) -> None:
    await register(client)
    start = time.monotonic()
    response = await log_in(client, password="x" * 1_000_000)
    assert response.status_code in (413, 422), response.text
    response = await log_in(client, password="x" * 2_000_000)
    assert response.status_code == 413, response.text
    body = {"email": "big@shop.test", "name": "Big", "password": "x" * 1_000_000}
    assert_problem(await client.post("/api/v1/users", json=body), 422)
    assert verified == []
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "utf-16", "none-such", "raw_unicode_escape"])
async def test_a_form_in_a_charset_made_for_mischief_is_no_fault_of_ours(
    client: httpx2.AsyncClient, charset: str
) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    parts = part % (b"username", b"\\ud800@shop.test") + part % (b"password", b"\\ud800\\x00") + b"--b--\r\n"
    fields = b"username=%ed%a0%80@shop.test&password=%ff%fe"
    for media_type, body in (
        ("multipart/form-data; boundary=b", parts),
        ("application/x-www-form-urlencoded", fields),
    ):
        headers = {"Content-Type": f"{media_type}; charset={charset}"}
        response = await client.post("/api/v1/auth/login", content=body, headers=headers)
        assert 400 <= assert_problem(response).status < 500, response.text


async def test_logging_out_ends_the_session_and_is_not_an_error_twice(client: httpx2.AsyncClient) -> None:
    await register(client)
    first = (await log_in(client)).json()["refresh_token"]
    other = (await log_in(client)).json()["refresh_token"]
    second = (await refresh(client, first)).json()["refresh_token"]
    for token in (first, second, second):
        response = await client.post("/api/v1/auth/logout", json={"refresh_token": token})
        assert (response.status_code, response.content) == (204, b"")
    assert (await refresh(client, second)).status_code == 401
    assert (await refresh(client, other)).status_code == 200


async def test_logging_out_takes_a_refresh_token_of_ours(client: httpx2.AsyncClient) -> None:
    await register(client)
    access = (await log_in(client)).json()["access_token"]
    for token in (access, "x", "a.b.c"):
        response = await client.post("/api/v1/auth/logout", json={"refresh_token": token})
        assert_problem(response, 401, "unauthorized")
