"""Prices have one currency, the shop's: the customer does not choose another."""

import httpx2
import pytest

from conftest import Database, Serve, SignIn
from problems import assert_problem

pytestmark = pytest.mark.anyio

ACCOUNTS = "/api/v1/accounts"


async def test_an_account_is_in_the_shops_currency_or_is_not_opened(
    database: Database, serve: Serve, sign_in: SignIn
) -> None:
    user = await sign_in(database)
    async with serve(database.settings(currency="CHF")) as client:
        opened = await client.post(ACCOUNTS, json={"name": "Home"}, headers=user.headers)
        assert opened.json()["currency"] == "CHF"
        body = {"name": "Cheap", "currency": "IDR"}
        response = await client.post(ACCOUNTS, json=body, headers=user.headers)
        assert_problem(response, 409, "currency_not_sold")


@pytest.mark.parametrize("lines", [1, 2])
async def test_an_account_of_another_currency_from_before_orders_nothing(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn, lines: int
) -> None:
    user = await sign_in(database)
    opened = await client.post(ACCOUNTS, json={"name": "Home"}, headers=user.headers)
    await database.execute("UPDATE accounts SET currency = 'IDR'")
    products = await database.fetch(f"SELECT id, stock FROM shop.products WHERE is_active LIMIT {lines}")
    items = [{"product_id": str(row["id"]), "quantity": 1} for row in products]
    response = await client.post(
        f"{opened.headers['location']}/orders", json={"items": items}, headers=user.headers
    )
    assert_problem(response, 409, "currency_not_sold")
    assert not await database.fetch("SELECT 1 FROM shop.orders")
