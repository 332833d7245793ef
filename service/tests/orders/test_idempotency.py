"""A request for an order sent again: it is placed once, and answered each time."""

import asyncio

import pytest

from conftest import Database
from orders.conftest import ACCOUNTS, Customer, NewCustomer, NewProduct, check_invariants, count, stock_of
from problems import assert_problem

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("several", [False, True], ids=["one product", "two products"])
async def test_a_repetition_has_the_first_answer(
    customer: Customer, new_product: NewProduct, database: Database, several: bool
) -> None:
    product, other = await new_product(stock=2), await new_product(stock=2)
    lines = [(product, 2), (other, 2)] if several else [(product, 2)]
    first = await customer.order(*lines, key="once")
    # The stock is gone by now, and the order has moved on: the answer stays.
    await customer.post(f"{first.headers['location']}/pay")
    # The order of the lines is not what an order is.
    again = await customer.order(*reversed(lines), key="once")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await count(database, "orders") == 1
    await check_invariants(database)


async def test_a_key_with_another_order_is_refused(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    product, other = await new_product(), await new_product()
    assert (await customer.order((product, 1), key="once")).status_code == 201
    for lines in ([(product, 2)], [(other, 1)], [(product, 1), (other, 1)]):
        assert_problem(await customer.order(*lines, key="once"), 422, "idempotency_key_reused")
    assert await count(database, "orders") == 1
    assert await stock_of(database, product) == 9


async def test_keys_of_different_accounts_are_different(
    customer: Customer, new_customer: NewCustomer, new_product: NewProduct, database: Database
) -> None:
    product = await new_product()
    other = await new_customer()
    for buyer in (customer, other):
        assert (await buyer.order((product, 1), key="same")).status_code == 201
    assert await count(database, "orders") == 2


@pytest.mark.parametrize("key", ["", "x" * 65, "a\tb", "a\x7fb", "k\xe4se", " "])
async def test_a_key_that_is_none_is_refused(
    customer: Customer, new_product: NewProduct, database: Database, key: str
) -> None:
    headers = customer.headers | {"Idempotency-Key": key.encode("latin-1")}
    body = {"items": [{"product_id": await new_product(), "quantity": 1}]}
    assert_problem(await customer.client.post(customer.orders, json=body, headers=headers), 422)
    assert await count(database, "orders") == 0


@pytest.mark.parametrize("key", ["k", "x" * 64, "!\"#$%&'() ~", "8e03978e-40d5-43e8-bc93-6894a57f9324"])
async def test_any_printable_key_is_taken(customer: Customer, new_product: NewProduct, key: str) -> None:
    product = await new_product()
    assert (await customer.order((product, 1), key=key)).status_code == 201
    assert (await customer.order((product, 1), key=key)).headers["idempotency-replayed"] == "true"


async def test_without_a_key_every_request_is_an_order(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    product = await new_product()
    assert [(await customer.order((product, 1))).status_code for _ in range(2)] == [201, 201]
    assert await count(database, "orders") == 2
    assert await count(database, "idempotency_keys") == 0


@pytest.mark.parametrize("stock", [1, 100], ids=["the last piece", "plenty"])
@pytest.mark.parametrize("several", [False, True], ids=["one product", "two products"])
async def test_of_ten_twins_at_once_one_orders_and_nine_have_its_answer(
    customer: Customer, new_product: NewProduct, database: Database, stock: int, several: bool
) -> None:
    lines = [(await new_product(stock=stock), 1)] + ([(await new_product(stock=stock), 1)] if several else [])
    responses = await asyncio.gather(*(customer.order(*lines, key="twin") for _ in range(10)))
    assert [response.status_code for response in responses] == [201] * 10, responses[0].text
    assert len({response.content for response in responses}) == 1
    assert [response.headers.get("idempotency-replayed") for response in responses].count("true") == 9
    assert await count(database, "orders") == 1
    assert await stock_of(database, lines[0][0]) == stock - 1
    await check_invariants(database)


async def test_of_two_different_orders_with_one_key_at_once_one_is_placed(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    products = [await new_product() for _ in range(10)]
    responses = await asyncio.gather(*(customer.order((product, 1), key="twin") for product in products))
    assert sorted(response.status_code for response in responses) == [201] + [422] * 9
    assert await count(database, "orders") == 1
    await check_invariants(database)


async def test_the_short_address_finds_its_account_again(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    product = await new_product()
    first = await customer.order((product, 1), key="once", path="/api/v1/orders")
    # Another account is the oldest active one when the answer was lost and the request comes again.
    await customer.client.post(ACCOUNTS, json={"name": "New"}, headers=customer.headers)
    await customer.patch(f"{ACCOUNTS}/{customer.account_id}", {"status": "suspended"})
    again = await customer.order((product, 1), key="once", path="/api/v1/orders")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert await count(database, "orders") == 1
