"""The key that signs tokens becomes another, on one host after the other, and no session ends."""

import secrets

import pytest

from authentication import log_in, me, refresh, register
from conftest import SECRET_KEY, Database, Serve

pytestmark = pytest.mark.anyio

NEXT_KEY = secrets.token_urlsafe(48)


async def test_a_new_key_ends_no_session_while_the_old_one_is_kept(database: Database, serve: Serve) -> None:
    async with serve(database.settings()) as client:
        await register(client)
        old = (await log_in(client)).json()
    rotated = {"secret_key": NEXT_KEY, "secret_key_previous": SECRET_KEY}
    async with serve(database.settings(**rotated)) as client:
        assert (await me(client, old["access_token"])).status_code == 200
        new = (await refresh(client, old["refresh_token"])).json()
        assert (await me(client, new["access_token"])).status_code == 200
    async with serve(database.settings(secret_key=NEXT_KEY)) as client:
        assert (await me(client, old["access_token"])).status_code == 401
        assert (await me(client, new["access_token"])).status_code == 200
        assert (await refresh(client, new["refresh_token"])).status_code == 200


async def test_the_next_key_is_accepted_before_it_signs(database: Database, serve: Serve) -> None:
    """One host of two signs with it already."""
    async with serve(database.settings(secret_key=NEXT_KEY, secret_key_previous=SECRET_KEY)) as ahead:
        await register(ahead)
        new = (await log_in(ahead)).json()
    async with serve(database.settings(secret_key=SECRET_KEY, secret_key_previous=NEXT_KEY)) as behind:
        assert (await me(behind, new["access_token"])).status_code == 200
        old = (await refresh(behind, new["refresh_token"])).json()
    async with serve(database.settings(secret_key=SECRET_KEY)) as alone:
        assert (await me(alone, old["access_token"])).status_code == 200
        assert (await me(alone, new["access_token"])).status_code == 401
