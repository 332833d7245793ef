"""Failed logins counted in Redis: by all workers together, and by each alone when Redis dies."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
import structlog
from redis.asyncio import Redis

from authentication import EMAIL, log_in, register
from conftest import Database, Serve
from problems import assert_problem
from redis_server import RedisServer

pytestmark = pytest.mark.anyio


async def fail(client: httpx2.AsyncClient, times: int) -> None:
    """Log in with a wrong password, as often."""
    for _ in range(times):
        assert_problem(await log_in(client, EMAIL, "wrong"), 401)


def said(events: list[Any]) -> list[str]:
    """What the log says of where failures are counted."""
    return [event["event"] for event in events if event["event"].startswith("login_limit")]


async def test_workers_count_together_and_count_on_after_a_restart(
    database: Database, serve: Serve, redis: RedisServer
) -> None:
    settings = database.settings(redis_url=redis.url)
    with structlog.testing.capture_logs() as events:
        async with serve(settings) as first, serve(settings) as second:
            await register(first)
            await fail(first, 3)
            await fail(second, 2)
            for client in (first, second):
                response = await log_in(client)
                assert_problem(response, 429, "too_many_logins")
                assert 50 <= int(response.headers["retry-after"]) <= 60
        async with serve(settings) as restarted:
            assert_problem(await log_in(restarted), 429, "too_many_logins")
    assert said(events) == []


async def test_a_redis_that_dies_or_hangs_costs_no_login_and_is_reported_in_one_line(
    database: Database, serve: Serve, redis: RedisServer
) -> None:
    async with serve(database.settings(redis_url=redis.url)) as client:
        await register(client)
        await fail(client, 1)
        with structlog.testing.capture_logs() as events:
            redis.freeze()
            start = time.monotonic()
            await fail(client, 2)
            assert time.monotonic() - start < 5
            redis.kill()
            assert (await log_in(client)).status_code == 200
            # Each worker starts to count anew: what was counted is where nobody can read it.
            await fail(client, 3)
            assert_problem(await log_in(client), 429, "too_many_logins")
        assert said(events) == ["login_limit_in_memory"]


async def test_a_redis_that_was_away_is_used_again_and_nobody_gains_by_it(
    database: Database, serve: Serve, redis: RedisServer
) -> None:
    async with serve(database.settings(redis_url=redis.url)) as client:
        await register(client)
        redis.kill()
        with structlog.testing.capture_logs() as events:
            await fail(client, 4)
            redis.start()
            deadline = time.monotonic() + 15
            while said(events)[-1] != "login_limit_in_redis" and time.monotonic() < deadline:
                assert (await log_in(client)).status_code == 200
            # One more in Redis: neither of the two counts is full, and both hold.
            await fail(client, 4)
            assert (await log_in(client)).status_code == 200
            await fail(client, 1)
            assert_problem(await log_in(client), 429)
        assert said(events) == ["login_limit_in_memory", "login_limit_in_redis"]


@asynccontextmanager
async def full(redis: RedisServer) -> AsyncIterator[None]:
    """Within, Redis answers and has no room for anything new."""
    async with Redis(unix_socket_path=str(redis.socket)) as connection:
        await connection.config_set("maxmemory-policy", "noeviction")
        await connection.config_set("maxmemory", "1")
        yield
        await connection.config_set("maxmemory", "0")


async def until_redis_counts(client: httpx2.AsyncClient, events: list[Any]) -> None:
    """Fail by names of nobody until one is counted in Redis."""
    deadline = time.monotonic() + 20
    number = 0
    while "login_limit_in_redis" not in said(events):
        assert time.monotonic() < deadline, "Redis has room and is not counted in"
        number += 1
        assert_problem(await log_in(client, f"nobody{number}@shop.test", "wrong"), 401)
        await anyio.sleep(0.2)


async def test_with_a_full_redis_each_worker_counts_for_itself_and_says_so_once(
    database: Database, serve: Serve, redis: RedisServer
) -> None:
    async with serve(database.settings(redis_url=redis.url)) as client, full(redis):
        await register(client)
        with structlog.testing.capture_logs() as events:
            await fail(client, 5)
            assert_problem(await log_in(client), 429, "too_many_logins")
            # Refused logins and others read what Redis has, which it still answers.
            for _ in range(5):
                assert_problem(await log_in(client), 429, "too_many_logins")
        assert said(events) == ["login_limit_in_memory"]


async def test_what_was_counted_before_and_while_redis_was_full_both_hold(
    database: Database, serve: Serve, redis: RedisServer
) -> None:
    async with serve(database.settings(redis_url=redis.url)) as client:
        await register(client)
        await fail(client, 3)
        with structlog.testing.capture_logs() as events:
            async with full(redis):
                # Three are in Redis, and three more in memory: neither is full.
                await fail(client, 3)
                assert (await log_in(client)).status_code == 200
                assert said(events) == ["login_limit_in_memory"]
            await until_redis_counts(client, events)
            # The fourth and the fifth that Redis counts.
            await fail(client, 2)
            assert_problem(await log_in(client), 429, "too_many_logins")
        assert said(events) == ["login_limit_in_memory", "login_limit_in_redis"]


async def test_nothing_that_was_typed_is_kept_in_redis(
    database: Database, serve: Serve, redis: RedisServer
) -> None:
    async with serve(database.settings(redis_url=redis.url)) as client:
        await register(client)
        await fail(client, 1)
        assert (await log_in(client, "hunter2 in the wrong field", "wrong")).status_code == 401
    async with Redis(unix_socket_path=str(redis.socket)) as connection:
        keys = [key async for key in connection.scan_iter()]
        assert len(keys) == 6
        for key in keys:
            assert b"hunter2" not in key
            assert b"ada" not in key.removeprefix(b"shop:limit:")
            # Nothing stays: an attacker cannot fill Redis with names.
            assert 0 < await connection.ttl(key) <= 61
