"""What users, admins and strangers get from /api/v1/users."""

import uuid

import httpx2
import pytest

from authentication import PASSWORD
from conftest import Database, Serve, SignIn
from problems import assert_problem
from shop.core.database import open_resources
from shop.core.errors import AppError, ConstraintError
from shop.core.passwords import Passwords
from shop.core.session import session_on
from shop.users.service import create_user

pytestmark = pytest.mark.anyio

USERS = "/api/v1/users"
ME = USERS + "/me"
ADA = {"email": "Ada.Lovelace+shop@Example.COM", "password": PASSWORD, "name": "Ada"}


async def test_anyone_may_register_and_nothing_of_the_password_comes_back(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    response = await client.post(USERS, json={**ADA, "avatar": "https://pictures.example/ada.png"})
    assert response.status_code == 201, response.text
    body = response.json()
    assert response.headers["location"] == f"{USERS}/{body['id']}"
    assert response.headers["etag"] == 'W/"1"'
    assert PASSWORD not in response.text
    assert "argon2" not in response.text
    assert body.pop("created_at") == body.pop("updated_at")
    assert uuid.UUID(body["id"]).version == 7
    assert body == {
        "id": body["id"],
        "email": "ada.lovelace+shop@example.com",
        "name": "Ada",
        "avatar": "https://pictures.example/ada.png",
        "plan": "free",
        "role": "user",
        "is_active": True,
        "version": 1,
    }
    admin = await sign_in(database, role="admin")
    found = await client.get(response.headers["location"], headers=admin.headers)
    assert found.json()["id"] == body["id"]


async def test_an_address_belongs_to_one_user_however_it_is_written(client: httpx2.AsyncClient) -> None:
    assert (await client.post(USERS, json=ADA)).status_code == 201
    again = {**ADA, "email": "ADA.LOVELACE+SHOP@example.com", "name": "Other"}
    assert_problem(await client.post(USERS, json=again), 409, "email_taken")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "ada"}, "email"),
        ({"email": "ada@"}, "email"),
        ({"email": "@example.com"}, "email"),
        ({"email": "ada@example"}, "email"),
        ({"email": "ada@@example.com"}, "email"),
        ({"email": "ada@example..com"}, "email"),
        ({"email": "ada@-example.com"}, "email"),
        ({"email": "ada@example.com."}, "email"),
        ({"email": "ada@127.0.0.1"}, "email"),
        ({"email": "ada@[127.0.0.1]"}, "email"),
        ({"email": ".ada@example.com"}, "email"),
        ({"email": "ada.@example.com"}, "email"),
        ({"email": "ada lovelace@example.com"}, "email"),
        ({"email": " ada@example.com"}, "email"),
        ({"email": "ada@example.com\n"}, "email"),
        ({"email": "ada@example.com\r\nBcc: all@example.com"}, "email"),
        ({"email": '"ada"@example.com'}, "email"),
        ({"email": "<ada@example.com>"}, "email"),
        ({"email": "ada@example.com,bob@example.com"}, "email"),
        ({"email": "\uff41da@example.com"}, "email"),
        ({"email": "\u0430da@example.com"}, "email"),
        ({"email": "ada@ex\u0430mple.com"}, "email"),
        ({"email": "ada@\u212aelvin.com"}, "email"),
        ({"email": "a" * 65 + "@example.com"}, "email"),
        ({"email": "ada@" + "a" * 64 + ".com"}, "email"),
        ({"email": "ada@" + "a.bc" * 70 + ".com"}, "email"),
        ({"email": "ada\x00@example.com"}, "email"),
        ({"email": ["ada@example.com"]}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"password": "correct\x00horse"}, "password"),
        ({"password": 12345678}, "password"),
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": " Ada"}, "name"),
        ({"name": "x" * 51}, "name"),
        ({"name": "A\x1b[31mda"}, "name"),
        ({"name": "A\nda"}, "name"),
        ({"name": "A\x00da"}, "name"),
        ({"name": "Ada\u202egnp.exe"}, "name"),
        ({"avatar": "javascript:alert(1)"}, "avatar"),
        ({"avatar": "ftp://pictures.example"}, "avatar"),
        ({"avatar": "//pictures.example"}, "avatar"),
        ({"avatar": "https://pictures.example/a b"}, "avatar"),
        ({"avatar": "x\nhttps://pictures.example"}, "avatar"),
        ({"avatar": "https://" + "x" * 2048}, "avatar"),
        ({"plan": "pro"}, "plan"),
        ({"role": "admin"}, "role"),
        ({"is_active": False}, "is_active"),
        ({"id": str(uuid.uuid4())}, "id"),
    ],
)
async def test_what_no_user_can_be_is_refused_by_field(
    client: httpx2.AsyncClient, change: dict[str, object], field: str
) -> None:
    response = await client.post(USERS, json={**ADA, **change})
    problem = assert_problem(response, 422, "invalid_request")
    assert {tuple(fault["location"][:2]) for fault in problem.details} == {("body", field)}
    assert PASSWORD not in response.text


@pytest.mark.parametrize(
    "name",
    [
        "A",
        "x" * 50,
        "Ada Lovelace",
        "\u0410\u0434\u0430",
        "\u674e\u56db",
        "O'Brien; DROP TABLE users--",
        "%_",
    ],
)
async def test_names_of_all_scripts_are_kept_as_they_are(client: httpx2.AsyncClient, name: str) -> None:
    response = await client.post(USERS, json={**ADA, "name": name})
    assert response.status_code == 201, response.text
    assert response.json()["name"] == name


async def test_where_admins_register_nobody_else_does(
    database: Database, serve: Serve, sign_in: SignIn
) -> None:
    async with serve(database.settings(registration="admin")) as client:
        user, admin = await sign_in(database), await sign_in(database, role="admin")
        assert_problem(await client.post(USERS, json=ADA), 401)
        assert_problem(await client.post(USERS, json=ADA, headers=user.headers), 403, "admin_only")
        assert (await client.post(USERS, json=ADA, headers=admin.headers)).status_code == 201


async def test_one_sees_oneself_an_admin_sees_all_and_nobody_learns_who_exists(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    ada, bob, admin = [await sign_in(database, role=role) for role in ("user", "user", "admin")]
    assert (await client.get(ME, headers=ada.headers)).json()["id"] == str(ada.user_id)
    assert (await client.get(f"{USERS}/{ada.user_id}", headers=ada.headers)).status_code == 200
    assert (await client.get(f"{USERS}/{bob.user_id}", headers=admin.headers)).status_code == 200
    nobody = uuid.uuid4()
    foreign = await client.get(f"{USERS}/{bob.user_id}", headers=ada.headers)
    missing = await client.get(f"{USERS}/{nobody}", headers=ada.headers)
    for response in (foreign, missing, await client.get(f"{USERS}/{nobody}", headers=admin.headers)):
        assert_problem(response, 404, "user_not_found")
    assert foreign.json()["message"].replace(str(bob.user_id), str(nobody)) == missing.json()["message"]
    for path in (ME, USERS, f"{USERS}/{ada.user_id}"):
        response = await client.get(path)
        assert_problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"


async def test_a_profile_is_changed_field_by_field(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    ada = await sign_in(database, name="Ada")
    response = await client.patch(ME, json={"avatar": "http://x.example/a"}, headers=ada.headers)
    assert response.status_code == 200, response.text
    assert (response.json()["name"], response.json()["avatar"]) == ("Ada", "http://x.example/a")
    assert response.headers["etag"] == 'W/"2"'
    response = await client.patch(ME, json={"name": "Countess", "avatar": None}, headers=ada.headers)
    body = response.json()
    assert (body["name"], body["avatar"], body["version"]) == ("Countess", None, 3)
    assert body["updated_at"] > body["created_at"]
    assert (await client.get(ME, headers=ada.headers)).json() == body


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"name": None},
        {"name": ""},
        {"name": "x" * 51},
        {"avatar": ""},
        {"avatar": "data:text/html,x"},
        {"name": "Ada", "plan": "pro"},
        {"role": "admin"},
        {"email": "other@shop.test"},
        {"hashed_password": "x"},
        {"version": 9},
        [],
        "name",
        None,
    ],
)
async def test_a_change_that_is_none_or_not_the_users_is_refused(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn, change: object
) -> None:
    ada = await sign_in(database)
    assert_problem(await client.patch(ME, json=change, headers=ada.headers), 422, "invalid_request")
    assert (await client.get(ME, headers=ada.headers)).json()["version"] == 1


async def test_a_change_of_what_somebody_else_changed_meanwhile_is_refused(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    ada = await sign_in(database)
    read = (await client.get(ME, headers=ada.headers)).headers["etag"]
    first = await client.patch(ME, json={"name": "First"}, headers={**ada.headers, "If-Match": read})
    assert first.status_code == 200
    second = await client.patch(ME, json={"name": "Second"}, headers={**ada.headers, "If-Match": read})
    assert_problem(second, 412, "stale")
    assert second.headers["etag"] == first.headers["etag"]
    assert (await client.get(ME, headers=ada.headers)).json()["name"] == "First"
    third = await client.patch(ME, json={"name": "Third"}, headers={**ada.headers, "If-Match": "*"})
    assert third.status_code == 200


async def test_the_command_line_creates_admins_and_is_told_what_is_wrong(database: Database) -> None:
    settings = database.settings()
    passwords = Passwords.of(settings)
    values = {"email": "Root@Shop.Test", "password": PASSWORD, "name": "Root"}
    async with open_resources(settings) as resources:
        async with session_on(resources.writes) as session:
            created = await create_user(session, passwords, **values, role="admin")
        assert (created.role, created.email) == ("admin", "root@shop.test")
        with pytest.raises(ConstraintError, match="uq_users_email"):
            async with session_on(resources.writes) as session:
                await create_user(session, passwords, **values, role="admin")
        with pytest.raises(AppError, match="password: ") as refused:
            async with session_on(resources.writes) as session:
                await create_user(session, passwords, **{**values, "password": "x"})
        assert refused.value.code == "invalid_user"
