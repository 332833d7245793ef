"""What refresh tokens do: each is good for one renewal, and one that was copied ends the session."""

import time
from collections import Counter

import anyio
import httpx2
import pytest
import structlog

from authentication import log_in, me, refresh, register
from conftest import Database, Serve
from problems import assert_problem

pytestmark = pytest.mark.anyio


async def start(client: httpx2.AsyncClient) -> str:
    """A first refresh token."""
    await register(client)
    token: str = (await log_in(client)).json()["refresh_token"]
    return token


async def test_a_session_goes_on_token_by_token(client: httpx2.AsyncClient) -> None:
    token = await start(client)
    for _ in range(3):
        response = await refresh(client, token)
        assert response.status_code == 200, response.text
        assert response.headers["cache-control"] == "no-store"
        assert (await me(client, response.json()["access_token"])).status_code == 200
        assert response.json()["refresh_token"] != token
        token = response.json()["refresh_token"]


async def test_a_used_token_that_comes_back_ends_the_whole_session(client: httpx2.AsyncClient) -> None:
    first = await start(client)
    other_session = (await log_in(client)).json()["refresh_token"]
    second = (await refresh(client, first)).json()["refresh_token"]
    third = (await refresh(client, second)).json()["refresh_token"]
    with structlog.testing.capture_logs() as events:
        assert_problem(await refresh(client, first), 401, "unauthorized")
    assert [event["event"] for event in events].count("refresh_token_reused") == 1
    for token in (third, second, first):
        response = await refresh(client, token)
        assert_problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
    assert (await refresh(client, other_session)).status_code == 200


async def test_of_twenty_refreshes_at_once_one_wins_and_the_session_goes_on(
    database: Database, serve: Serve
) -> None:
    async with serve(database.settings(database_pool_size=10, database_max_overflow=10)) as client:
        token = await start(client)
        answers: list[httpx2.Response] = []

        async def attempt() -> None:
            answers.append(await refresh(client, token))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(attempt)
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
        for answer in answers:
            if answer.status_code == 409:
                assert_problem(answer, 409, "refresh_raced")
        winner = next(answer.json() for answer in answers if answer.status_code == 200)
        following = await refresh(client, winner["refresh_token"])
        assert following.status_code == 200, following.text
        # Whoever comes after the race with the token of before it is not one of the twins.
        assert_problem(await refresh(client, token), 401)
        assert_problem(await refresh(client, following.json()["refresh_token"]), 401)


async def test_twenty_refreshes_through_two_connections_have_one_winner_too(
    client: httpx2.AsyncClient, database: Database
) -> None:
    token = await start(client)
    statuses: Counter[int] = Counter()

    async def attempt() -> None:
        statuses[(await refresh(client, token)).status_code] += 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(attempt)
    assert statuses == {200: 1, 409: 19}
    unused = await database.fetch("SELECT 1 FROM shop.refresh_tokens WHERE used_at IS NULL")
    assert len(unused) == 1


async def test_a_disabled_user_cannot_refresh(client: httpx2.AsyncClient, database: Database) -> None:
    token = await start(client)
    await database.execute("UPDATE users SET is_active = false")
    assert_problem(await refresh(client, token), 401, "unauthorized")
    await database.execute("UPDATE users SET is_active = true")
    assert_problem(await refresh(client, token), 401, "unauthorized")


async def test_a_raised_token_version_ends_every_session(
    client: httpx2.AsyncClient, database: Database
) -> None:
    token = await start(client)
    await database.execute("UPDATE users SET token_version = token_version + 1")
    assert_problem(await refresh(client, token), 401, "unauthorized")
    assert (await refresh(client, (await log_in(client)).json()["refresh_token"])).status_code == 200


async def test_an_expired_token_is_refused_by_its_row_as_well(
    client: httpx2.AsyncClient, database: Database
) -> None:
    token = await start(client)
    await database.execute("UPDATE refresh_tokens SET expires_at = now() - interval '1 second'")
    assert_problem(await refresh(client, token), 401, "unauthorized")


async def test_a_row_lives_as_long_as_its_token(client: httpx2.AsyncClient, database: Database) -> None:
    await start(client)
    row = (await database.fetch("SELECT extract(epoch FROM expires_at) AS ends FROM shop.refresh_tokens"))[0]
    assert abs(float(row["ends"]) - time.time() - 14 * 86_400) < 30


async def test_an_access_token_refreshes_nothing(client: httpx2.AsyncClient) -> None:
    await register(client)
    access = (await log_in(client)).json()["access_token"]
    assert_problem(await refresh(client, access), 401, "unauthorized")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"refresh_token": None},
        {"refresh_token": 7},
        {"refresh_token": ""},
        {"refresh_token": "a b"},
        {"refresh_token": "x" * 2049},
        {"refresh_token": "x\x00"},
        {"refresh_token": "x", "more": 1},
    ],
)
async def test_a_body_that_cannot_be_a_refresh_is_refused(
    client: httpx2.AsyncClient, body: dict[str, object]
) -> None:
    assert_problem(await client.post("/api/v1/auth/refresh", json=body), 422, "invalid_request")
