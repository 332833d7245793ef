"""What refresh tokens do: each is good for one renewal, and one that was copied ends the session."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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


async def some_wait(database: Database, number: int) -> None:
    """Until so many sessions of the database wait for a lock."""
    waiting = f"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{database.name}'"
    with anyio.fail_after(15):
        while len(await database.fetch(waiting)) < number:  # noqa: ASYNC110 - it has no event
            await anyio.sleep(0.02)


@asynccontextmanager
async def a_refresh_in_flight(
    client: httpx2.AsyncClient, database: Database, token: str
) -> AsyncIterator[list[httpx2.Response]]:
    """A refresh that has used `token` and has not added its successor; it goes on once one waits for it.

    Its answer is in the list after the block.
    """
    answers: list[httpx2.Response] = []
    holder = await database.cluster.connect(database.name)
    await database.execute(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN new; END'",
        "CREATE TRIGGER hold BEFORE INSERT ON refresh_tokens FOR EACH ROW EXECUTE FUNCTION hold()",
    )

    async def renew() -> None:
        answers.append(await refresh(client, token))

    async def let_go() -> None:
        await some_wait(database, 2)
        await holder.execute("SELECT pg_advisory_unlock(7)")

    try:
        await holder.execute("SELECT pg_advisory_lock(7)")
        async with anyio.create_task_group() as group:
            group.start_soon(renew)
            await some_wait(database, 1)
            group.start_soon(let_go)
            yield answers
    finally:
        await holder.close()


@pytest.mark.parametrize("end", ["logout", "reuse"])
async def test_a_session_that_is_ended_beside_a_refresh_in_flight_is_ended(
    database: Database, serve: Serve, end: str
) -> None:
    async with serve(database.settings(database_pool_size=5)) as client:
        first = await start(client)
        token = (await refresh(client, first)).json()["refresh_token"]
        async with a_refresh_in_flight(client, database, token) as answers:
            if end == "logout":
                ended = await client.post("/api/v1/auth/logout", json={"refresh_token": token})
                assert ended.status_code == 204
            else:
                assert_problem(await refresh(client, first), 401, "unauthorized")
        assert answers[0].status_code == 200
        assert_problem(await refresh(client, answers[0].json()["refresh_token"]), 401, "unauthorized")


@pytest.mark.parametrize("end", ["logout", "reuse"])
async def test_a_refresh_beside_an_end_in_flight_renews_nothing(
    database: Database, serve: Serve, end: str
) -> None:
    async with serve(database.settings(database_pool_size=5)) as client:
        first = await start(client)
        token = (await refresh(client, first)).json()["refresh_token"]
        holder = await database.cluster.connect(database.name)
        answers: dict[str, httpx2.Response] = {}

        async def finish() -> None:
            path, body = ("logout", token) if end == "logout" else ("refresh", first)
            answers["end"] = await client.post(f"/api/v1/auth/{path}", json={"refresh_token": body})

        async def renew() -> None:
            answers["renewal"] = await refresh(client, token)

        try:
            await holder.execute("BEGIN; SELECT 1 FROM shop.users FOR UPDATE")
            async with anyio.create_task_group() as group:
                group.start_soon(finish)
                await some_wait(database, 1)
                group.start_soon(renew)
                await some_wait(database, 2)
                await holder.execute("COMMIT")
        finally:
            await holder.close()
        assert answers["end"].status_code in (204, 401)
        assert_problem(answers["renewal"], 401, "unauthorized")


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
