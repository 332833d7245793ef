"""What admins get who read the list of users."""

import uuid

import httpx2
import pytest

from conftest import Database, SignIn
from problems import assert_problem

pytestmark = pytest.mark.anyio

USERS = "/api/v1/users"


async def test_following_next_visits_every_user_once_even_those_of_one_moment(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    admin = await sign_in(database, role="admin")
    await database.execute(
        "INSERT INTO users (id, email, hashed_password, name, created_at) "
        "SELECT gen_random_uuid(), n || '@shop.test', 'none', 'U', now() - n / 10 * interval '1 day' "
        "FROM generate_series(1, 60) AS n"
    )
    seen = []
    path: str | None = f"{USERS}?limit=7"
    while path:
        response = await client.get(path, headers=admin.headers)
        assert response.status_code == 200, response.text
        seen += [(item["created_at"], item["id"]) for item in response.json()["items"]]
        path = response.json()["next"]
        assert response.headers.get("link") == (f'<{path}>; rel="next"' if path else None)
    assert len(seen) == len(set(seen)) == 61
    assert seen == sorted(seen, reverse=True)


async def test_the_list_is_for_admins_and_its_cursor_is_a_users_id(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    user, admin = await sign_in(database), await sign_in(database, role="admin")
    assert_problem(await client.get(USERS, headers=user.headers), 403, "admin_only")
    after = {"last_id": str(user.user_id)}
    assert (await client.get(USERS, params=after, headers=admin.headers)).json() == {
        "items": [],
        "next": None,
    }
    unknown = {"last_id": str(uuid.uuid4())}
    assert_problem(await client.get(USERS, params=unknown, headers=admin.headers), 422, "unknown_cursor")
    for query in ({"last_id": "first"}, {"limit": "0"}, {"limit": "101"}):
        assert_problem(await client.get(USERS, params=query, headers=admin.headers), 422, "invalid_request")
