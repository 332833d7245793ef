"""What a client gets from /api/v1/products."""

import httpx2
import pytest

from conftest import Database

pytestmark = pytest.mark.anyio

PRODUCTS = "/api/v1/products"
GREEN_TEA = "019b76da-a800-7000-8000-000000000001"
KETTLE = "019b76da-a800-7000-8000-000000000006"
NOBODYS = "019b76da-a800-7000-8000-00000000ffff"


async def add_products(database: Database, count: int) -> None:
    await database.execute(
        "INSERT INTO products (id, sku, name, category, price) "
        "SELECT ('019b76da-b000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'N-' || n, 'Number ' || n, "
        "CASE WHEN n % 2 = 0 THEN 'even & more' ELSE 'odd' END, n * 0.1 "
        f"FROM generate_series(1, {count}) AS n"
    )


async def test_a_fresh_shop_lists_its_products_newest_first(reader: httpx2.AsyncClient) -> None:
    response = await reader.get(PRODUCTS)
    assert response.status_code == 200, response.text
    body = response.json()
    assert [item["id"] for item in body["items"]] == sorted(
        (item["id"] for item in body["items"]), reverse=True
    )
    assert len(body["items"]) == 6
    assert body["next"] is None
    assert "link" not in response.headers


async def test_a_product_is_complete_and_its_price_is_a_decimal_string(reader: httpx2.AsyncClient) -> None:
    response = await reader.get(f"{PRODUCTS}/{GREEN_TEA}")
    assert response.status_code == 200, response.text
    body = response.json()
    assert body.pop("created_at") == body.pop("updated_at")
    assert body == {
        "id": GREEN_TEA,
        "sku": "TEA-GREEN-100",
        "name": "Green tea, 100 g",
        "category": "tea",
        "price": "7.90",
        "stock": 120,
        "is_active": True,
        "version": 1,
    }


async def test_times_are_utc_whatever_the_server_thinks(reader: httpx2.AsyncClient) -> None:
    body = (await reader.get(f"{PRODUCTS}/{GREEN_TEA}")).json()
    assert body["created_at"].endswith("Z"), body["created_at"]


async def test_an_unknown_product_is_a_404_problem(reader: httpx2.AsyncClient) -> None:
    response = await reader.get(f"{PRODUCTS}/{NOBODYS}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == "product_not_found"
    assert NOBODYS in body["message"]
    assert body["request_id"] == response.headers["x-request-id"]


async def test_a_product_taken_off_sale_is_gone(client: httpx2.AsyncClient, database: Database) -> None:
    await database.execute(f"UPDATE products SET is_active = false WHERE id = '{KETTLE}'")
    assert (await client.get(f"{PRODUCTS}/{KETTLE}")).status_code == 404
    listed = (await client.get(PRODUCTS)).json()["items"]
    assert KETTLE not in {item["id"] for item in listed}


async def test_a_category_lists_only_its_products(reader: httpx2.AsyncClient) -> None:
    body = (await reader.get(PRODUCTS, params={"category": "tea"})).json()
    assert {item["category"] for item in body["items"]} == {"tea"}
    assert len(body["items"]) == 3
    assert (await reader.get(PRODUCTS, params={"category": "none such"})).json()["items"] == []


@pytest.mark.parametrize(("category", "expected"), [(None, 36), ("even & more", 15)])
async def test_following_next_visits_every_product_once(
    client: httpx2.AsyncClient, database: Database, category: str | None, expected: int
) -> None:
    await add_products(database, 30)
    query = {"limit": "7"} | ({"category": category} if category else {})
    response = await client.get(PRODUCTS, params=query)
    seen = [item["id"] for item in response.json()["items"]]
    while following := response.json()["next"]:
        assert response.headers["link"] == f'<{following}>; rel="next"'
        response = await client.get(following)
        assert response.status_code == 200, response.text
        page = [item["id"] for item in response.json()["items"]]
        assert 1 <= len(page) <= 7
        seen += page
    assert len(seen) == len(set(seen)) == expected
    assert seen == sorted(seen, reverse=True)


async def test_a_page_that_ends_exactly_at_the_limit_has_no_next(reader: httpx2.AsyncClient) -> None:
    body = (await reader.get(PRODUCTS, params={"limit": 6})).json()
    assert len(body["items"]) == 6
    assert body["next"] is None


async def test_the_page_holds_50_by_default_and_100_at_most(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await add_products(database, 120)
    assert len((await client.get(PRODUCTS)).json()["items"]) == 50
    assert len((await client.get(PRODUCTS, params={"limit": 100})).json()["items"]) == 100
    assert (await client.get(PRODUCTS, params={"limit": 101})).status_code == 422


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({"limit": "0"}, ["query", "limit"]),
        ({"limit": "many"}, ["query", "limit"]),
        ({"limit": "1e400"}, ["query", "limit"]),
        ({"limit": "9" * 5000}, ["query", "limit"]),
        ({"last_id": "first"}, ["query", "last_id"]),
        ({"category": ""}, ["query", "category"]),
        ({"category": "a\x00b"}, ["query", "category"]),
        ({"category": "x" * 65}, ["query", "category"]),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_by_name(
    reader: httpx2.AsyncClient, query: dict[str, str], where: list[str]
) -> None:
    response = await reader.get(PRODUCTS, params=query)
    assert response.status_code == 422, response.text
    body = response.json()
    assert body["code"] == "invalid_request"
    assert [fault["location"] for fault in body["details"]] == [where]


async def test_no_address_redirects_for_a_slash(reader: httpx2.AsyncClient) -> None:
    assert (await reader.get(PRODUCTS + "/")).status_code == 404


async def test_reads_cost_one_statement_and_no_transaction(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await client.get(f"{PRODUCTS}/{GREEN_TEA}")
    await database.cluster.execute(
        "postgres", "ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()"
    )
    try:
        start = database.cluster.log.stat().st_size
        for _ in range(20):
            await client.get(f"{PRODUCTS}/{GREEN_TEA}")
        with database.cluster.log.open() as log:
            log.seek(start)
            lines = [line for line in log if "shop/" in line and ("statement:" in line or "execute" in line)]
    finally:
        await database.cluster.execute(
            "postgres", "ALTER SYSTEM RESET log_statement", "SELECT pg_reload_conf()"
        )
    statements = [line for line in lines if not line.rstrip().endswith("statement: ;")]
    assert 15 <= len(statements) <= 20, lines
    assert all("SELECT products." in line for line in statements), statements
