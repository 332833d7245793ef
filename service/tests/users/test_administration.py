"""What an operator does with users by `shop set-user`: it holds at once, for sessions that are open too."""

import json
from pathlib import Path

import httpx2
import pytest
from anyio import to_thread

from authentication import EMAIL, PASSWORD, log_in, refresh, register
from conftest import Database, run_shop

pytestmark = pytest.mark.anyio


async def test_a_disabled_user_is_out_and_an_enabled_one_logs_in_again(
    client: httpx2.AsyncClient, database: Database, tmp_path: Path
) -> None:
    environ = database.environ(tmp_path / "credentials")
    await register(client)
    token = (await log_in(client)).json()["refresh_token"]
    done = await to_thread.run_sync(run_shop, "set-user", environ, EMAIL, "--disable")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["is_active"] is False
    assert (await refresh(client, token)).status_code == 401
    assert (await log_in(client)).status_code == 401
    await to_thread.run_sync(run_shop, "set-user", environ, EMAIL, "--enable")
    # The sessions of before stay ended.
    assert (await refresh(client, token)).status_code == 401
    assert (await log_in(client)).status_code == 200


async def test_a_new_password_and_role_end_the_sessions_and_hold(
    client: httpx2.AsyncClient, database: Database, tmp_path: Path
) -> None:
    environ = database.environ(tmp_path / "credentials")
    await register(client)
    token = (await log_in(client)).json()["refresh_token"]

    def change() -> str:
        words = (EMAIL.upper(), "--role", "admin", "--password-stdin")
        return run_shop("set-user", environ, *words, stdin="another password\n").stdout

    assert json.loads(await to_thread.run_sync(change))["role"] == "admin"
    assert (await refresh(client, token)).status_code == 401
    assert (await log_in(client, password=PASSWORD)).status_code == 401
    assert (await log_in(client, password="another password")).status_code == 200


@pytest.mark.parametrize(
    ("words", "stdin", "status", "said"),
    [
        ((EMAIL,), "", 2, "Name a change"),
        (("nobody@shop.test", "--disable"), "", 1, "No user has the address"),
        ((EMAIL, "--password-stdin"), "short\n", 1, "8 to 256"),
    ],
)
def test_what_cannot_be_set_is_refused_in_a_sentence(
    database: Database, tmp_path: Path, words: tuple[str, ...], stdin: str, status: int, said: str
) -> None:
    done = run_shop("set-user", database.environ(tmp_path / "credentials"), *words, stdin=stdin)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
