"""Who registers in a loop is refused by limits of their own, and nobody's login waits for it."""

from collections import Counter

import anyio
import httpx2
import pytest
from pydantic import ValidationError

from authentication import PASSWORD, log_in, register
from conftest import Database, Serve, SignIn
from problems import assert_problem
from shop.auth.throttle import REFRESHES_PER_MINUTE
from shop.core.passwords import LONGEST_REGISTRATION_QUEUE, Passwords, hashes_at_once
from shop.settings import WORKER_MIB

pytestmark = pytest.mark.anyio


def _registration(number: int) -> dict[str, str]:
    return {"email": f"u{number}@shop.test", "password": PASSWORD, "name": "Somebody"}


async def test_a_network_registers_so_many_a_minute_and_then_waits(database: Database, serve: Serve) -> None:
    async with serve(database.settings(registrations_per_minute=3)) as client:
        for number in range(3):
            assert (await client.post("/api/v1/users", json=_registration(number))).status_code == 201
        response = await client.post("/api/v1/users", json=_registration(3))
        assert_problem(response, 429, "too_many_registrations")
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert response.headers["ratelimit-policy"] == '"registration";q=3;w=60'
        # Logins are counted apart.
        assert (await log_in(client, "u0@shop.test")).status_code == 200


async def test_an_admin_who_registers_others_is_not_limited(
    database: Database, serve: Serve, sign_in: SignIn
) -> None:
    admin = await sign_in(database, "admin")
    async with serve(database.settings(registration="admin", registrations_per_minute=1)) as client:
        for number in range(3):
            response = await client.post("/api/v1/users", json=_registration(number), headers=admin.headers)
            assert response.status_code == 201


async def test_logins_go_on_while_a_hundred_register(database: Database, serve: Serve) -> None:
    settings = database.settings(registrations_per_minute=1000, password_memory_kib=4096)
    statuses: Counter[int] = Counter()
    logins: Counter[int] = Counter()
    async with serve(settings) as client:
        await register(client)

        async def one(number: int) -> None:
            statuses[(await client.post("/api/v1/users", json=_registration(number))).status_code] += 1

        async def log_in_again() -> None:
            for _ in range(5):
                logins[(await log_in(client)).status_code] += 1

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(one, number)
            group.start_soon(log_in_again)
    assert logins == {200: 5}
    assert set(statuses) == {201, 503}


async def test_registrations_beyond_their_queue_are_refused_and_a_login_waits_for_one_of_them() -> None:
    passwords = Passwords(memory_kib=8, iterations=1)
    refused: list[str] = []

    async def hash_one() -> None:
        try:
            await passwords.hash(PASSWORD)
        except Exception as error:
            refused.append(getattr(error, "code", str(error)))

    async def nothing() -> None:
        assert passwords._registrations.statistics().tasks_waiting >= LONGEST_REGISTRATION_QUEUE - 1

    async with anyio.create_task_group() as group:
        for _ in range(LONGEST_REGISTRATION_QUEUE * 3):
            group.start_soon(hash_one)
        group.start_soon(passwords.verify, PASSWORD, None, nothing)
    assert set(refused) == {"registrations_busy"}


@pytest.mark.parametrize("cores", [1, 2, 4, 64])
@pytest.mark.parametrize("workers", [1, 2, 4, 16])
@pytest.mark.parametrize("limit", ["512M", "768M", "1G", "8G", ""])
def test_what_all_workers_hash_at_once_fits_the_cores_and_the_memory(
    shared_database: Database, workers: int, cores: int, limit: str
) -> None:
    mebibytes = {"512M": 512, "768M": 768, "1G": 1024, "8G": 8192}.get(limit)
    for hash_kib in (19_456, 65_536, 262_144):
        chosen = {"workers": workers, "password_memory_kib": hash_kib, "memory_limit": limit}
        if mebibytes is not None and workers * (WORKER_MIB + hash_kib / 1024) > mebibytes:
            with pytest.raises(ValidationError, match="use fewer workers"):
                shared_database.settings(**chosen)
            continue
        at_once = hashes_at_once(shared_database.settings(**chosen), cores)
        assert workers * at_once <= max(workers, cores)
        if mebibytes is not None:
            assert workers * (WORKER_MIB + at_once * hash_kib / 1024) <= mebibytes


async def test_a_user_refreshes_so_many_times_a_minute(client: httpx2.AsyncClient) -> None:
    await register(client)
    token = (await log_in(client)).json()["refresh_token"]
    for _ in range(REFRESHES_PER_MINUTE):
        response = await client.post("/api/v1/auth/refresh", json={"refresh_token": token})
        assert response.status_code == 200
        token = response.json()["refresh_token"]
    response = await client.post("/api/v1/auth/refresh", json={"refresh_token": token})
    assert_problem(response, 429, "too_many_refreshes")
    # The session itself goes on, and can be ended.
    assert (await client.post("/api/v1/auth/logout", json={"refresh_token": token})).status_code == 204
