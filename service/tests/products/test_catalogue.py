"""What an admin does to products, and what everybody sees of it."""

from typing import Any

import httpx2
import pytest

from conftest import Database, SignIn
from problems import assert_problem

pytestmark = pytest.mark.anyio

PRODUCTS = "/api/v1/products"
GREEN_TEA = "019b76da-a800-7000-8000-000000000001"
NOBODYS = "019b76da-a800-7000-8000-00000000ffff"
CACHE_CONTROL = "public, max-age=5, stale-while-revalidate=30"
CUP: dict[str, Any] = {"sku": "CUP-1", "name": "A cup", "category": "cups", "price": "12.50", "stock": 3}

Headers = dict[str, str]


@pytest.fixture
async def admin(database: Database, sign_in: SignIn) -> Headers:
    """The headers of an admin."""
    return (await sign_in(database, role="admin")).headers


@pytest.fixture
async def user(database: Database, sign_in: SignIn) -> Headers:
    """The headers of a user who is none."""
    return (await sign_in(database)).headers


async def test_a_new_product_is_for_sale_at_the_address_it_is_said_to_have(
    client: httpx2.AsyncClient, database: Database, admin: Headers
) -> None:
    created = await client.post(PRODUCTS, json=CUP, headers=admin)
    assert created.status_code == 201, created.text
    body = created.json()
    assert body.items() >= {**CUP, "is_active": True, "version": 1}.items()
    read = await client.get(created.headers["location"])
    assert (read.status_code, read.json()) == (200, body)
    assert read.headers["etag"] == created.headers["etag"] == 'W/"1"'
    (entry,) = await database.fetch(
        "SELECT change_amount, balance_after, reason, actor_id IS NOT NULL AS named FROM shop.stock_log"
    )
    assert tuple(entry) == (3, 3, "restock", True)


async def test_a_product_without_pieces_has_no_stock_log(
    client: httpx2.AsyncClient, database: Database, admin: Headers
) -> None:
    body = {name: value for name, value in CUP.items() if name != "stock"}
    created = await client.post(PRODUCTS, json=body, headers=admin)
    assert created.json()["stock"] == 0, created.text
    log = await client.get(f"{created.headers['location']}/stock-log", headers=admin)
    assert log.json() == {"items": [], "next": None}


async def test_a_sku_is_taken_once_however_it_is_taken(client: httpx2.AsyncClient, admin: Headers) -> None:
    first = await client.post(PRODUCTS, json=CUP, headers=admin)
    assert first.status_code == 201, first.text
    assert_problem(await client.post(PRODUCTS, json=CUP, headers=admin), 409, "sku_taken")
    renamed = await client.patch(f"{PRODUCTS}/{GREEN_TEA}", json={"sku": CUP["sku"]}, headers=admin)
    assert_problem(renamed, 409, "sku_taken")
    assert (await client.get(f"{PRODUCTS}/{GREEN_TEA}")).json()["version"] == 1


@pytest.mark.parametrize(
    ("method", "path", "json"),
    [
        ("POST", "", CUP),
        ("PATCH", f"/{GREEN_TEA}", {"name": "Free tea"}),
        ("POST", f"/{GREEN_TEA}/stock", {"change_amount": 1, "reason": "restock"}),
        ("GET", f"/{GREEN_TEA}/stock-log", None),
        ("POST", f"/{GREEN_TEA}/clear-cache", None),
    ],
)
async def test_only_an_admin_does_any_of_it(
    client: httpx2.AsyncClient, database: Database, user: Headers, method: str, path: str, json: Any
) -> None:
    before = await database.fetch("SELECT * FROM shop.products ORDER BY id")
    assert_problem(await client.request(method, PRODUCTS + path, json=json), 401)
    assert_problem(await client.request(method, PRODUCTS + path, json=json, headers=user), 403, "admin_only")
    assert await database.fetch("SELECT * FROM shop.products ORDER BY id") == before


async def test_a_change_raises_the_version_and_leaves_the_rest(
    client: httpx2.AsyncClient, admin: Headers
) -> None:
    before = (await client.get(f"{PRODUCTS}/{GREEN_TEA}")).json()
    changed = await client.patch(
        f"{PRODUCTS}/{GREEN_TEA}", json={"price": "8", "name": "Sencha %_"}, headers=admin
    )
    assert changed.status_code == 200, changed.text
    after = changed.json()
    assert changed.headers["etag"] == 'W/"2"'
    assert after.pop("updated_at") > before.pop("updated_at")
    assert after == {**before, "price": "8.00", "name": "Sencha %_", "version": 2}


async def test_a_change_of_what_has_changed_is_refused_and_names_the_present_tag(
    client: httpx2.AsyncClient, admin: Headers
) -> None:
    address = f"{PRODUCTS}/{GREEN_TEA}"
    tag = (await client.get(address)).headers["etag"]
    first = await client.patch(address, json={"price": "8.00"}, headers={**admin, "If-Match": tag})
    assert first.status_code == 200, first.text
    second = await client.patch(address, json={"price": "9.00"}, headers={**admin, "If-Match": tag})
    assert_problem(second, 412, "stale")
    assert second.headers["etag"] == first.headers["etag"]
    assert (await client.get(address)).json()["price"] == "8.00"
    retried = await client.patch(
        address, json={"price": "9.00"}, headers={**admin, "If-Match": second.headers["etag"]}
    )
    assert retried.status_code == 200, retried.text


@pytest.mark.parametrize("path", ["", "/stock", "/stock-log", "/clear-cache"])
async def test_what_does_not_exist_cannot_be_changed(
    client: httpx2.AsyncClient, admin: Headers, path: str
) -> None:
    method = {"": "PATCH", "/stock-log": "GET"}.get(path, "POST")
    json = {"": {"name": "x"}, "/stock": {"change_amount": -1, "reason": "adjust"}}.get(path)
    response = await client.request(method, f"{PRODUCTS}/{NOBODYS}{path}", json=json, headers=admin)
    assert_problem(response, 404, "product_not_found")


@pytest.mark.parametrize(
    "address", [PRODUCTS, f"{PRODUCTS}?limit=2", f"{PRODUCTS}/{GREEN_TEA}", f"{PRODUCTS}/categories"]
)
async def test_who_has_the_present_answer_is_not_sent_it_again(
    client: httpx2.AsyncClient, admin: Headers, address: str
) -> None:
    first = await client.get(address)
    assert first.headers["cache-control"] == CACHE_CONTROL
    again = await client.get(address, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == CACHE_CONTROL
    change = {"is_active": True, "category": "changed"}
    for product in (await client.get(PRODUCTS)).json()["items"]:
        await client.patch(f"{PRODUCTS}/{product['id']}", json=change, headers=admin)
    changed = await client.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_categories_count_what_is_for_sale_and_what_is_in_stock(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await database.execute(
        "DELETE FROM products",
        "INSERT INTO products (id, sku, name, category, price, stock, is_active) VALUES "
        "(gen_random_uuid(), 'a', 'a', 'tea', 1, 5, true), "
        "(gen_random_uuid(), 'b', 'b', 'tea', 1, 0, true), "
        "(gen_random_uuid(), 'c', 'c', 'cups', 1, 1, true), "
        "(gen_random_uuid(), 'd', 'd', 'gone', 1, 1, false)",
    )
    assert (await client.get(f"{PRODUCTS}/categories")).json() == {
        "items": [
            {"name": "cups", "products": 1, "in_stock": 1},
            {"name": "tea", "products": 2, "in_stock": 1},
        ]
    }


HOSTILE_TEXT = ["'; DROP TABLE shop.products; --", "%_\\", "🍵", "x" * 64]


@pytest.mark.parametrize("text", HOSTILE_TEXT)
async def test_text_is_stored_as_it_is_said_and_found_by_nothing_else(
    client: httpx2.AsyncClient, admin: Headers, text: str
) -> None:
    created = await client.post(PRODUCTS, json={**CUP, "name": text, "category": text}, headers=admin)
    assert created.status_code == 201, created.text
    assert (created.json()["name"], created.json()["category"]) == (text, text)
    found = (await client.get(PRODUCTS, params={"category": text})).json()["items"]
    assert [item["id"] for item in found] == [created.json()["id"]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("price", value) for value in (
            19.9, 1, "1e400", "NaN", "Infinity", "-1", "-0", "1.999", "1,50", " 1", "1\n", "", "01", "٣",
            None, "99999999999", "9" * 5000, True, ["1"],
        )],
        *[("stock", value) for value in (-1, 2**31, 10**400, 1.5, "5 pieces", None)],
        *[("sku", value) for value in ("", "a b", "a\x00", "x" * 65, "' OR 1=1", "-a", 5, None)],
        *[("name", value) for value in ("", "a\x00b", "a\nb", "x" * 201, None, {})],
        *[("category", value) for value in ("", "\x7f", "x" * 65, None)],
        ("is_active", "perhaps"), ("is_active", None), ("version", 7), ("id", NOBODYS),
    ],
)  # fmt: skip
async def test_a_product_that_makes_no_sense_is_refused_by_field(
    client: httpx2.AsyncClient, admin: Headers, field: str, value: Any
) -> None:
    for response in (
        await client.post(PRODUCTS, json={**CUP, field: value}, headers=admin),
        await client.patch(f"{PRODUCTS}/{GREEN_TEA}", json={field: value}, headers=admin),
    ):
        problem = assert_problem(response, 422)
        assert any(field in fault["location"] for fault in problem.details), problem.details
    assert (await client.get(f"{PRODUCTS}/{GREEN_TEA}")).json()["version"] == 1


@pytest.mark.parametrize("body", [{}, [], None, "x"])
async def test_a_change_of_nothing_is_refused(client: httpx2.AsyncClient, admin: Headers, body: Any) -> None:
    response = await client.patch(f"{PRODUCTS}/{GREEN_TEA}", json=body, headers=admin)
    assert_problem(response, 422)


@pytest.mark.parametrize("price", ["0", "0.01", "9999999999.99", "1.5"])
async def test_prices_come_back_to_the_cent(client: httpx2.AsyncClient, admin: Headers, price: str) -> None:
    created = await client.post(PRODUCTS, json={**CUP, "price": price}, headers=admin)
    assert created.status_code == 201, created.text
    assert created.json()["price"] == {"0": "0.00", "1.5": "1.50"}.get(price, price)


@pytest.mark.parametrize("id_", ["x", "0", "3f2a9c1e-0b7d-4d52-8a61-5c0e9f7b2d4", "%27", "' OR 1=1"])
async def test_an_id_that_is_none_names_no_product(client: httpx2.AsyncClient, id_: str) -> None:
    assert_problem(await client.get(f"{PRODUCTS}/{id_}"), 404)
