"""Stock: every change is logged, none makes it negative, however many come at once."""

from typing import Any

import anyio
import httpx2
import pytest

from conftest import Database, SignIn
from problems import assert_problem

pytestmark = [pytest.mark.anyio, pytest.mark.differs("who waits for whom is the server's")]

PRODUCTS = "/api/v1/products"
GREEN_TEA = "019b76da-a800-7000-8000-000000000001"
STOCK = f"{PRODUCTS}/{GREEN_TEA}/stock"
LOG = f"{PRODUCTS}/{GREEN_TEA}/stock-log"

Headers = dict[str, str]


@pytest.fixture
async def admin(database: Database, sign_in: SignIn) -> Headers:
    """The headers of an admin."""
    return (await sign_in(database, role="admin")).headers


async def test_a_change_is_answered_with_the_product_and_is_in_the_log(
    client: httpx2.AsyncClient, admin: Headers
) -> None:
    more = await client.post(STOCK, json={"change_amount": 30, "reason": "restock"}, headers=admin)
    assert (more.status_code, more.json()["stock"], more.json()["version"]) == (200, 150, 2), more.text
    less = await client.post(STOCK, json={"change_amount": -150, "reason": "adjust"}, headers=admin)
    assert (less.status_code, less.json()["stock"], less.headers["etag"]) == (200, 0, 'W/"3"'), less.text
    entries = (await client.get(LOG, headers=admin)).json()["items"]
    assert [(entry["change_amount"], entry["balance_after"], entry["reason"]) for entry in entries] == [
        (-150, 0, "adjust"),
        (30, 150, "restock"),
    ]
    assert all(entry["actor_id"] and entry["order_id"] is None for entry in entries)


async def test_stock_never_falls_below_0_nor_rises_beyond_what_can_be_counted(
    client: httpx2.AsyncClient, database: Database, admin: Headers
) -> None:
    below = await client.post(STOCK, json={"change_amount": -121, "reason": "adjust"}, headers=admin)
    problem = assert_problem(below, 409, "insufficient_stock")
    assert problem.details == {"product_id": GREEN_TEA, "requested": 121, "available": 120}
    beyond = await client.post(STOCK, json={"change_amount": 2**31 - 1, "reason": "restock"}, headers=admin)
    assert_problem(beyond, 409, "stock_too_large")
    assert await database.fetch("SELECT 1 FROM shop.stock_log") == []
    assert (await client.get(f"{PRODUCTS}/{GREEN_TEA}")).json()["version"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"change_amount": 0, "reason": "adjust"},
        {"change_amount": -1, "reason": "restock"},
        {"change_amount": 1, "reason": "order"},
        {"change_amount": 1, "reason": "'; DROP TABLE shop.stock_log; --"},
        {"change_amount": 1},
        {"reason": "restock"},
        {"change_amount": 2**31, "reason": "restock"},
        {"change_amount": -(10**300), "reason": "adjust"},
        {"change_amount": 1.5, "reason": "restock"},
        {"change_amount": None, "reason": "restock"},
        {"change_amount": 1, "reason": "restock", "actor_id": GREEN_TEA},
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(
    client: httpx2.AsyncClient, admin: Headers, body: dict[str, Any]
) -> None:
    assert_problem(await client.post(STOCK, json=body, headers=admin), 422)


async def test_all_who_take_at_once_get_what_there_is_and_not_one_piece_more(
    client: httpx2.AsyncClient, database: Database, admin: Headers
) -> None:
    answers: list[int] = []

    async def take() -> None:
        response = await client.post(STOCK, json={"change_amount": -7, "reason": "adjust"}, headers=admin)
        answers.append(response.status_code)

    async with anyio.create_task_group() as group:
        for _ in range(24):
            group.start_soon(take)
    # 120 pieces are 17 times 7 and 1.
    assert sorted(answers) == [200] * 17 + [409] * 7
    entries = await database.fetch("SELECT change_amount, balance_after FROM shop.stock_log ORDER BY id")
    assert [entry["balance_after"] for entry in entries] == [120 - 7 * n for n in range(1, 18)]
    (row,) = await database.fetch(f"SELECT stock FROM shop.products WHERE id = '{GREEN_TEA}'")
    assert row["stock"] == 120 + sum(entry["change_amount"] for entry in entries) == 1


async def test_the_log_is_read_page_by_page(client: httpx2.AsyncClient, admin: Headers) -> None:
    for amount in range(1, 8):
        await client.post(STOCK, json={"change_amount": amount, "reason": "restock"}, headers=admin)
    response = await client.get(LOG, params={"limit": 3}, headers=admin)
    seen = response.json()["items"]
    while following := response.json()["next"]:
        assert response.headers["link"] == f'<{following}>; rel="next"'
        response = await client.get(following, headers=admin)
        seen += response.json()["items"]
    assert [entry["change_amount"] for entry in seen] == [7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("last_id", ["0", "-1", "x", str(2**63), "1e400"])
async def test_a_page_after_nothing_is_refused(
    client: httpx2.AsyncClient, admin: Headers, last_id: str
) -> None:
    assert_problem(await client.get(LOG, params={"last_id": last_id}, headers=admin), 422)
