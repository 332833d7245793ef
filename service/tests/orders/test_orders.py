"""What a client gets from the orders of an account."""

import uuid
from typing import Any

import httpx2
import pytest

from conftest import Database, SignIn
from orders.conftest import ACCOUNTS, Customer, NewCustomer, NewProduct, check_invariants, count, stock_of
from problems import assert_problem
from shop.orders.schemas import LARGEST_QUANTITY, OrderPage, OrderRead

pytestmark = [pytest.mark.anyio, pytest.mark.differs("an order is one statement, and its plan the server's")]

NOBODYS = "019b76da-a800-7000-8000-00000000ffff"


async def test_an_order_takes_its_pieces_and_says_what_it_is(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    product = await new_product(stock=10, price="2.50")
    response = await customer.order((product, 3))
    assert response.status_code == 201, response.text
    order = response.json()
    assert response.headers["location"] == f"{customer.orders}/{order['id']}"
    assert "idempotency-replayed" not in response.headers
    assert order.pop("created_at") == order.pop("updated_at")
    assert order == {
        "id": order["id"],
        "account_id": customer.account_id,
        "created_by": customer.user_id,
        "status": "pending",
        "total": "7.50",
        "currency": "EUR",
        "items": [{"product_id": product, "quantity": 3, "unit_price": "2.50"}],
    }
    assert await stock_of(database, product) == 7
    (row,) = await database.fetch(f"SELECT version FROM shop.products WHERE id = '{product}'")
    assert row["version"] == 2
    await check_invariants(database)


async def test_an_order_is_read_as_it_was_answered(customer: Customer, new_product: NewProduct) -> None:
    placed = await customer.order((await new_product(), 1), (await new_product(), 2))
    read = await customer.get(placed.headers["location"])
    assert read.status_code == 200, read.text
    assert read.content == placed.content
    assert OrderRead.model_validate_json(read.content).created_at.utcoffset().total_seconds() == 0


async def test_several_items_are_one_order_sorted_by_product(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    first, second, third = [await new_product(stock=5, price="1.10") for _ in range(3)]
    response = await customer.order((third, 1), (first, 2), (second, 1))
    assert response.status_code == 201, response.text
    assert [item["product_id"] for item in response.json()["items"]] == [first, second, third]
    assert response.json()["total"] == "4.40"
    assert [await stock_of(database, product) for product in (first, second, third)] == [3, 4, 4]
    await check_invariants(database)


async def test_a_product_named_twice_is_ordered_once_with_the_sum(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    product, other = await new_product(stock=5), await new_product(stock=5)
    response = await customer.order((product, 2), (other, 1), (product, 3))
    assert response.status_code == 201, response.text
    quantities = {item["product_id"]: item["quantity"] for item in response.json()["items"]}
    assert quantities == {product: 5, other: 1}
    assert_problem(await customer.order((product, 1)), 409, "insufficient_stock")
    await check_invariants(database)


async def test_too_little_stock_orders_nothing_and_says_what_is_left(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    product = await new_product(stock=2)
    problem = assert_problem(await customer.order((product, 3), key="k"), 409, "insufficient_stock")
    assert problem.details == [{"product_id": product, "requested": 3, "available": 2}]
    assert await count(database, "orders") == await count(database, "idempotency_keys") == 0
    assert await stock_of(database, product) == 2
    # The key went with the refusal: it is free for the same customer's next try.
    assert (await customer.order((product, 2), key="k")).status_code == 201


async def test_all_that_is_short_is_listed(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    enough, little, none = await new_product(stock=9), await new_product(stock=1), await new_product(stock=0)
    response = await customer.order((none, 1), (enough, 9), (little, 4))
    problem = assert_problem(response, 409, "insufficient_stock")
    assert problem.details == [
        {"product_id": little, "requested": 4, "available": 1},
        {"product_id": none, "requested": 1, "available": 0},
    ]
    assert await stock_of(database, enough) == 9
    await check_invariants(database)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another"])
async def test_what_is_not_for_sale_is_named(
    customer: Customer, new_product: NewProduct, database: Database, beside: bool
) -> None:
    inactive, good = await new_product(is_active=False), await new_product()
    for product in (inactive, NOBODYS):
        lines = [(product, 1), (good, 1)] if beside else [(product, 1)]
        problem = assert_problem(await customer.order(*lines), 422, "product_not_for_sale")
        assert problem.details == [{"product_id": product}]
    assert await count(database, "orders") == 0
    assert await stock_of(database, good) == 10


@pytest.mark.parametrize(
    "items",
    [
        [],
        None,
        [{}],
        [{"product_id": NOBODYS}],
        [{"product_id": "x", "quantity": 1}],
        [{"product_id": NOBODYS, "quantity": 0}],
        [{"product_id": NOBODYS, "quantity": -1}],
        [{"product_id": NOBODYS, "quantity": LARGEST_QUANTITY + 1}],
        [{"product_id": NOBODYS, "quantity": 10**400}],
        [{"product_id": NOBODYS, "quantity": 1.0}],
        [{"product_id": NOBODYS, "quantity": "1"}],
        [{"product_id": NOBODYS, "quantity": True}],
        [{"product_id": NOBODYS, "quantity": None}],
        [{"product_id": NOBODYS, "quantity": 1, "unit_price": "0.01"}],
        [{"product_id": NOBODYS, "quantity": LARGEST_QUANTITY}] * 2,
        [{"product_id": NOBODYS, "quantity": 1}] * 101,
        [{"product_id": NOBODYS, "quantity": 1}] * 10_000,
    ],
    ids=lambda items: str(items)[:60],
)
async def test_an_order_that_cannot_be_meant_is_refused(customer: Customer, items: Any) -> None:
    response = await customer.client.post(customer.orders, json={"items": items}, headers=customer.headers)
    problem = assert_problem(response)
    # A number of 400 digits is refused by whoever reads the JSON, with a status of its own.
    assert problem.status in (400, 422), response.text


@pytest.mark.parametrize("quantity", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_quantity_that_is_no_number_is_refused(customer: Customer, quantity: str) -> None:
    body = f'{{"items": [{{"product_id": "{NOBODYS}", "quantity": {quantity}}}]}}'
    headers = customer.headers | {"Content-Type": "application/json"}
    response = await customer.client.post(customer.orders, content=body, headers=headers)
    assert assert_problem(response).status in (400, 422)


async def test_a_total_no_column_holds_is_refused(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    product = await new_product(stock=LARGEST_QUANTITY, price="9999999999.99")
    for lines in ([(product, LARGEST_QUANTITY)], [(product, LARGEST_QUANTITY), (await new_product(), 1)]):
        assert_problem(await customer.order(*lines), 422, "amount_too_large")
    assert await stock_of(database, product) == LARGEST_QUANTITY


async def test_only_members_order_and_look(
    customer: Customer, new_customer: NewCustomer, new_product: NewProduct, database: Database
) -> None:
    product = await new_product()
    placed = await customer.order((product, 1), key="k")
    stranger = await new_customer()
    location = placed.headers["location"]
    for response in (
        await stranger.get(customer.orders),
        await stranger.get(location),
        await stranger.post(f"{location}/cancel"),
        await stranger.post(f"{location}/pay"),
        await stranger.order((product, 1), path=customer.orders),
        await stranger.order((product, 1), (await new_product(), 1), path=customer.orders),
        # Not even a key of the account betrays that there is one.
        await stranger.order((product, 1), key="k", path=customer.orders),
        await stranger.order((product, 1), path=f"{ACCOUNTS}/{NOBODYS}/orders"),
    ):
        assert_problem(response, 404, "account_not_found")
    # An order is found under its own account only.
    assert_problem(await stranger.get(f"{stranger.orders}/{placed.json()['id']}"), 404, "order_not_found")
    assert await count(database, "orders") == 1


async def test_without_a_token_nothing_is_answered(customer: Customer) -> None:
    assert_problem(await customer.client.get(customer.orders), 401)
    assert_problem(await customer.client.post(customer.orders, json={"items": []}), 401)
    assert_problem(await customer.client.post("/api/v1/orders", json={"items": []}), 401)


async def test_a_member_orders_on_the_account_of_another(
    customer: Customer, new_customer: NewCustomer, new_product: NewProduct, database: Database
) -> None:
    member = await new_customer()
    await database.execute(
        "INSERT INTO account_members (account_id, user_id) "
        f"VALUES ('{customer.account_id}', '{member.user_id}')"
    )
    response = await member.order((await new_product(), 1), path=customer.orders)
    assert response.status_code == 201, response.text
    assert response.json()["created_by"] == member.user_id
    assert (await customer.get(response.headers["location"])).status_code == 200


@pytest.mark.parametrize("status", ["suspended", "closed"])
async def test_an_account_that_is_not_active_takes_no_orders(
    customer: Customer, new_product: NewProduct, database: Database, status: str
) -> None:
    product, other = await new_product(), await new_product()
    placed = await customer.order((product, 1), key="before")
    assert (await customer.post(f"{placed.headers['location']}/pay")).status_code == 200
    path = f"{ACCOUNTS}/{customer.account_id}"
    assert (await customer.patch(path, {"status": status})).status_code == 200
    assert_problem(await customer.order((product, 1)), 409, f"account_{status}")
    assert_problem(await customer.order((product, 1), (other, 1)), 409, f"account_{status}")
    assert await stock_of(database, product) == 9
    # What was ordered before is still there, also for who repeats the request.
    again = await customer.order((product, 1), key="before")
    assert (again.status_code, again.json()["id"]) == (201, placed.json()["id"])


async def test_pages_follow_each_other_without_gaps(customer: Customer, new_product: NewProduct) -> None:
    product = await new_product(stock=10)
    placed = [(await customer.order((product, 1))).json()["id"] for _ in range(5)]
    response = await customer.get(customer.orders, limit=2)
    pages = [response]
    while (following := pages[-1].json()["next"]) is not None:
        assert pages[-1].headers["link"] == f'<{following}>; rel="next"'
        pages.append(await customer.get(following))
    assert [len(page.json()["items"]) for page in pages] == [2, 2, 1]
    assert [item["id"] for page in pages for item in page.json()["items"]] == placed[::-1]
    assert "link" not in pages[-1].headers
    page = OrderPage.model_validate_json(response.content)
    assert str(page.account.id) == customer.account_id
    assert page.items[0].total == pytest.approx(2.5)
    assert response.json()["items"][0]["total"] == "2.50"
    assert response.json()["items"][0]["created_at"].endswith("Z")
    assert set(response.json()["account"]) == set(
        (await customer.get(f"{ACCOUNTS}/{customer.account_id}")).json()
    )


async def test_a_list_can_show_one_status(customer: Customer, new_product: NewProduct) -> None:
    product = await new_product(stock=10)
    placed = [await customer.order((product, 1)) for _ in range(4)]
    for order in placed[:3]:
        assert (await customer.post(f"{order.headers['location']}/pay")).status_code == 200
    response = await customer.get(customer.orders, status="paid", limit=2)
    assert [item["status"] for item in response.json()["items"]] == ["paid", "paid"]
    assert "status=paid" in response.json()["next"]
    assert len((await customer.get(response.json()["next"])).json()["items"]) == 1
    assert (await customer.get(customer.orders, status="cancelled")).json()["items"] == []
    assert_problem(await customer.get(customer.orders, status="lost"), 422)


@pytest.mark.parametrize("query", [{"last_id": "x"}, {"limit": 0}, {"limit": 101}, {"limit": "many"}])
async def test_a_page_that_cannot_be_is_refused(customer: Customer, query: dict[str, Any]) -> None:
    assert_problem(await customer.get(customer.orders, **query), 422)


async def test_an_empty_account_has_an_empty_page(customer: Customer) -> None:
    body = (await customer.get(customer.orders)).json()
    assert body["items"] == []
    assert body["next"] is None
    assert body["account"]["id"] == customer.account_id


async def test_cancelling_gives_the_pieces_back_once(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    first, second = await new_product(stock=3), await new_product(stock=1)
    location = (await customer.order((first, 2), (second, 1))).headers["location"]
    cancelled = await customer.post(f"{location}/cancel")
    assert cancelled.status_code == 200, cancelled.text
    assert cancelled.json()["status"] == "cancelled"
    assert cancelled.content == (await customer.get(location)).content
    assert [await stock_of(database, product) for product in (first, second)] == [3, 1]
    problem = assert_problem(await customer.post(f"{location}/cancel"), 409, "illegal_transition")
    assert problem.details == {"status": "cancelled", "allowed_from": ["pending"]}
    assert [await stock_of(database, product) for product in (first, second)] == [3, 1]
    assert_problem(await customer.post(f"{location}/pay"), 409, "illegal_transition")
    await check_invariants(database)


async def test_a_paid_order_is_neither_paid_again_nor_cancelled(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    product = await new_product(stock=3)
    location = (await customer.order((product, 2))).headers["location"]
    paid = await customer.post(f"{location}/pay")
    assert (paid.status_code, paid.json()["status"]) == (200, "paid")
    assert paid.json()["updated_at"] > paid.json()["created_at"]
    assert_problem(await customer.post(f"{location}/pay"), 409, "illegal_transition")
    assert_problem(await customer.post(f"{location}/cancel"), 409, "illegal_transition")
    assert await stock_of(database, product) == 1
    await check_invariants(database)


async def test_an_order_that_is_not_there_does_not_change(customer: Customer) -> None:
    for action in ("", "/cancel", "/pay"):
        path = f"{customer.orders}/{NOBODYS}{action}"
        response = await (customer.post(path) if action else customer.get(path))
        assert_problem(response, 404, "order_not_found")


async def test_nothing_is_written_that_nobody_reads(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    products = [await new_product(), await new_product()]
    for action in ("pay", "cancel"):
        location = (await customer.order(*((product, 1) for product in products))).headers["location"]
        assert (await customer.order((products[0], 1))).status_code == 201
        assert (await customer.post(f"{location}/{action}")).status_code == 200
    assert await count(database, "outbox") == 0


async def test_the_short_address_orders_on_the_oldest_active_account(
    customer: Customer, new_product: NewProduct
) -> None:
    product = await new_product()
    newer = (await customer.client.post(ACCOUNTS, json={"name": "New"}, headers=customer.headers)).json()[
        "id"
    ]
    response = await customer.order((product, 1), path="/api/v1/orders")
    assert response.status_code == 201, response.text
    assert response.headers["location"] == f"{customer.orders}/{response.json()['id']}"
    await customer.patch(f"{ACCOUNTS}/{customer.account_id}", {"status": "suspended"})
    response = await customer.order((product, 1), path="/api/v1/orders")
    assert response.json()["account_id"] == newer


async def test_the_short_address_needs_an_active_account(
    customer: Customer,
    new_product: NewProduct,
    client: httpx2.AsyncClient,
    sign_in: SignIn,
    database: Database,
) -> None:
    product = await new_product()
    body = {"items": [{"product_id": product, "quantity": 1}]}
    newcomer = await sign_in(database)
    response = await client.post("/api/v1/orders", json=body, headers=newcomer.headers)
    assert_problem(response, 409, "no_active_account")
    await customer.patch(f"{ACCOUNTS}/{customer.account_id}", {"status": "suspended"})
    assert_problem(await customer.order((product, 1), path="/api/v1/orders"), 409, "no_active_account")


async def test_every_id_is_new_and_in_order_of_time(customer: Customer, new_product: NewProduct) -> None:
    product = await new_product(stock=20)
    ids = [(await customer.order((product, 1))).json()["id"] for _ in range(5)]
    assert ids == sorted(ids)
    assert {uuid.UUID(order_id).version for order_id in ids} == {7}
