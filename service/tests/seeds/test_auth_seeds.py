"""The articles' mistakes about users and authentication, each as the service does it now.

S0 is the guide to Ubuntu, FastAPI and PostgreSQL, S1 the one on deployment and tuning, S2 the trade-offs, S3
the problems of servers. The item is the number of the mistake in the inventory of the articles.
"""

import ast
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from authentication import log_in, me, refresh, register
from conftest import SERVICE, Database, Serve, SignIn
from problems import assert_problem
from shop.auth.tokens import ALGORITHMS, LEEWAY, Tokens
from shop.core.principal import LOGIN_PATH, Principal
from shop.settings import Settings
from shop.users.schemas import UserRead, UserUpdate

pytestmark = pytest.mark.anyio


def imports(path: Path) -> set[str]:
    """The modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


async def test_users_are_addressed_without_a_slash_at_the_end_and_by_uuid(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    """S0 and S3, item 46: `POST /users/` answered 307, which loses bodies; the id was "12345"."""
    body = {"email": "ada@shop.test", "password": "correct horse", "name": "Ada"}
    assert_problem(await client.post("/api/v1/users/", json=body), 404)
    created = await client.post("/api/v1/users", json=body)
    assert created.status_code == 201
    user = await sign_in(database)
    assert_problem(await client.get("/api/v1/users/12345", headers=user.headers), 422)
    changed = await client.patch("/api/v1/users/me", json={"name": "Countess"}, headers=user.headers)
    assert changed.status_code == 200


async def test_every_worker_and_every_start_has_the_same_key(database: Database, serve: Serve) -> None:
    """S1, item 59: `SECRET_KEY` had a random default, so workers refused each other's tokens."""
    assert Settings.model_fields["secret_key"].is_required()
    async with serve(database.settings()) as first, serve(database.settings()) as second:
        await register(first)
        tokens = (await log_in(first)).json()
        assert (await me(second, tokens["access_token"])).status_code == 200
        assert (await refresh(second, tokens["refresh_token"])).status_code == 200


def test_a_production_without_a_key_does_not_start(database: Database, tmp_path: Path) -> None:
    """S1, item 59: without a key the service started all the same."""
    environ = database.environ(tmp_path / "credentials", SHOP_ENVIRONMENT="production")
    command = [sys.executable, "-c", "from shop.main import application; application()"]
    run = {"env": environ, "capture_output": True, "text": True, "timeout": 60, "check": False}
    # As it is, it starts: what follows is the key's doing.
    assert subprocess.run(command, **run).returncode == 0  # type: ignore[call-overload]
    (tmp_path / "credentials" / "secret_key").unlink()
    refused = subprocess.run(command, **run)  # type: ignore[call-overload]
    assert refused.returncode == 78
    assert "secret_key" in refused.stderr


def test_tokens_are_made_and_read_by_a_library_that_is_maintained() -> None:
    """S1 and S2, item 81: `from jose import jwt`, abandoned with CVE-2024-33663 and CVE-2024-33664."""
    used = {path: imports(path) for path in (SERVICE / "shop").rglob("*.py")}
    assert not [path for path, names in used.items() if names & {"jose", "passlib"}]
    assert [path.name for path, names in used.items() if "jwt" in names] == ["tokens.py"]
    assert ALGORITHMS == ("HS256",)
    assert LEEWAY == 10


def test_an_access_token_lives_for_thirty_minutes_and_names_its_login() -> None:
    """S1 and S2, item 81, kept: the 30 minutes and the address of the login."""
    assert Settings.model_fields["access_token_minutes"].default == 30
    assert LOGIN_PATH == "/api/v1/auth/login"


async def test_who_asks_has_a_type_and_is_looked_up_once_for_many_requests(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    """S2, item 82: `get_current_user` returned a dict, after a query for every single request."""
    assert set(Principal.__annotations__) == {"user_id", "role"}
    user = await sign_in(database)
    assert (await client.get("/api/v1/users", headers=user.headers)).status_code == 403
    # Nothing the database says of the user now is asked for again so soon.
    await database.execute("UPDATE users SET is_active = false")
    for _ in range(5):
        assert (await client.get("/api/v1/users", headers=user.headers)).status_code == 403


async def test_a_session_can_be_renewed_and_ended(client: httpx2.AsyncClient) -> None:
    """S1 and S2, item 82: no article had a way to renew a token or to take one back."""
    await register(client)
    first = (await log_in(client)).json()["refresh_token"]
    second = (await refresh(client, first)).json()["refresh_token"]
    third = (await refresh(client, second)).json()["refresh_token"]
    assert_problem(await refresh(client, first), 401)
    assert_problem(await refresh(client, third), 401)


async def test_passwords_are_argon2id(client: httpx2.AsyncClient, database: Database) -> None:
    """S0, item 83: `hashed_password` was kept without a word on what hashes it."""
    await register(client)
    hashed = (await database.fetch("SELECT hashed_password FROM shop.users"))[0][0]
    assert hashed.startswith("$argon2id$")
    assert Settings.model_fields["password_memory_kib"].default == 65_536


@pytest.mark.parametrize("origins", ["*", "https://shop.example,*"])
def test_any_origin_with_credentials_is_refused_at_start(database: Database, origins: str) -> None:
    """S1 and S2, item 84: credentials were allowed together with wildcards."""
    with pytest.raises(ValueError, match="SHOP_CORS_CREDENTIALS"):
        database.settings(cors_origins=origins, cors_credentials=True)
    assert database.settings(cors_origins="https://shop.example", cors_credentials=True)


async def test_logins_have_a_limit_of_their_own(client: httpx2.AsyncClient) -> None:
    """S1, item 86: ten requests a second for each address, which is 600 guesses a minute."""
    await register(client)
    start = time.monotonic()
    statuses = [(await log_in(client, password="wrong")).status_code for _ in range(20)]
    assert time.monotonic() - start < 60
    assert statuses == [401] * 5 + [429] * 15


def test_a_megabyte_is_the_largest_body() -> None:
    """S1, item 86: 100 MB were accepted for JSON."""
    assert Settings.model_fields["max_body_bytes"].default == 1_048_576


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": "x"}, 200),
        ({"name": "x" * 50}, 200),
        ({"name": "x" * 51}, 422),
        ({"name": ""}, 422),
        ({"avatar": "https://pictures.example/a.png"}, 200),
        ({"avatar": "http://pictures.example/a.png"}, 200),
        ({"avatar": "pictures.example/a.png"}, 422),
        ({}, 422),
    ],
)
async def test_a_profile_has_the_limits_of_the_article(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn, change: dict[str, str], status: int
) -> None:
    """S2, item 107, kept: the names and numbers; corrected: a change of nothing was 400 and is a 422."""
    user = await sign_in(database)
    response = await client.patch("/api/v1/users/me", json=change, headers=user.headers)
    assert response.status_code == status, response.text
    if status == 200:
        UserRead.model_validate_json(response.content)
    assert set(UserUpdate.model_fields) == {"name", "avatar"}


async def test_tokens_of_another_audience_open_nothing(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    """S1 and S2, item 81: neither issuer nor audience was written or checked."""
    user = await sign_in(database)
    for change in ({"token_audience": "other"}, {"token_issuer": "other"}):
        foreign = Tokens(database.settings(**change)).issue("access", user.user_id, 1)
        assert_problem(await me(client, foreign), 401, "unauthorized")
