"""A product that is switched off: an admin finds it and switches it on again; for others it is gone."""

from typing import Any

import httpx2
import pytest

from conftest import Database, SignIn
from problems import assert_problem

pytestmark = pytest.mark.anyio

PRODUCTS = "/api/v1/products"
GREEN_TEA = f"{PRODUCTS}/019b76da-a800-7000-8000-000000000001"
NOBODYS = f"{PRODUCTS}/019b76da-a800-7000-8000-00000000ffff"
OFF = {"is_active": "false"}

Headers = dict[str, str]


@pytest.fixture
async def admin(database: Database, sign_in: SignIn) -> Headers:
    """The headers of an admin."""
    return (await sign_in(database, role="admin")).headers


@pytest.fixture
async def off(client: httpx2.AsyncClient, admin: Headers) -> dict[str, Any]:
    """A product that an admin has switched off."""
    changed = await client.patch(GREEN_TEA, json={"is_active": False}, headers=admin)
    assert changed.status_code == 200, changed.text
    product: dict[str, Any] = changed.json()
    assert product["is_active"] is False
    return product


async def test_an_admin_finds_it_reads_it_and_switches_it_on_again(
    client: httpx2.AsyncClient, admin: Headers, off: dict[str, Any]
) -> None:
    listed = await client.get(PRODUCTS, params=OFF, headers=admin)
    assert (listed.status_code, listed.json()) == (200, {"items": [off], "next": None})
    read = await client.get(GREEN_TEA, headers=admin)
    assert (read.status_code, read.json()) == (200, off)
    for answer in (listed, read):
        assert answer.headers["cache-control"] == "no-store"
    on = await client.patch(
        GREEN_TEA, json={"is_active": True}, headers={**admin, "If-Match": read.headers["etag"]}
    )
    assert on.status_code == 200, on.text
    assert (await client.get(GREEN_TEA)).json() == on.json()
    assert (await client.get(PRODUCTS, params=OFF, headers=admin)).json()["items"] == []


async def test_for_everybody_else_it_is_gone(
    client: httpx2.AsyncClient, database: Database, off: dict[str, Any], sign_in: SignIn
) -> None:
    user = (await sign_in(database)).headers
    for headers in ({}, user, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
        gone = await client.get(GREEN_TEA, headers=headers)
        missing = await client.get(NOBODYS, headers=headers)
        assert_problem(gone, 404, "product_not_found")
        assert_problem(missing, 404, "product_not_found")
        assert off["id"] not in {
            item["id"] for item in (await client.get(PRODUCTS, headers=headers)).json()["items"]
        }
    assert_problem(await client.get(PRODUCTS, params=OFF), 401)
    assert_problem(await client.get(PRODUCTS, params=OFF, headers=user), 403, "admin_only")


async def test_an_admin_too_is_told_that_there_is_no_such_product(
    client: httpx2.AsyncClient, admin: Headers
) -> None:
    assert_problem(await client.get(NOBODYS, headers=admin), 404, "product_not_found")


async def test_what_is_switched_off_is_listed_a_page_at_a_time_and_by_category(
    client: httpx2.AsyncClient, admin: Headers, database: Database
) -> None:
    await database.execute("UPDATE products SET is_active = false WHERE category = 'teaware'")
    found, address = [], f"{PRODUCTS}?is_active=false&limit=2"
    while address:
        page = (await client.get(address, headers=admin)).json()
        found += [item["sku"] for item in page["items"]]
        address = page["next"]
    assert found == ["KETTLE-1200", "CUP-200", "POT-800"]
    tea = await client.get(PRODUCTS, params={**OFF, "category": "tea"}, headers=admin)
    assert tea.json()["items"] == []
    ware = await client.get(PRODUCTS, params={**OFF, "category": "teaware", "limit": 1}, headers=admin)
    assert "is_active=false" in ware.json()["next"]


async def test_is_active_true_is_what_everybody_gets(client: httpx2.AsyncClient) -> None:
    said = await client.get(PRODUCTS, params={"is_active": "true"})
    assert (said.status_code, said.json()) == (200, (await client.get(PRODUCTS)).json())
    assert_problem(await client.get(PRODUCTS, params={"is_active": "perhaps"}), 422)
