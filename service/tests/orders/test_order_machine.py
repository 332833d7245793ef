"""Orders as a state machine: whatever is asked in whatever order, the stock is what a ledger says."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from conftest import Database, Serve, SignIn, run
from orders.conftest import ACCOUNTS, Customer, NewProduct, check_invariants, stock_of

PRODUCTS = 3
WANTED = st.dictionaries(st.integers(0, PRODUCTS - 1), st.integers(1, 4), min_size=1)


@dataclass(frozen=True)
class World:
    """What the machine acts on: the service, its database, one customer."""

    portal: BlockingPortal
    database: Database
    customer: Customer
    new_product: NewProduct


@dataclass
class Known:
    """An order as the ledger has it."""

    location: str
    key: str
    wanted: dict[int, int]
    body: bytes
    status: str = "pending"


class Orders(RuleBasedStateMachine):
    """One customer, three products, and a ledger of what must be true."""

    orders: Bundle[Known] = Bundle("orders")
    world: World
    keys = iter(range(1_000_000))

    @initialize(stocks=st.lists(st.integers(0, 8), min_size=PRODUCTS, max_size=PRODUCTS))
    def open(self, stocks: list[int]) -> None:
        self.stocks = stocks
        self.products = [run(self.world.new_product, stock) for stock in stocks]

    def _lines(self, wanted: dict[int, int]) -> list[tuple[str, int]]:
        return [(self.products[number], quantity) for number, quantity in wanted.items()]

    def _order(self, wanted: dict[int, int], key: str) -> httpx2.Response:
        async def order() -> httpx2.Response:
            return await self.world.customer.order(*self._lines(wanted), key=key)

        return self.world.portal.call(order)

    def _post(self, path: str) -> httpx2.Response:
        return self.world.portal.call(self.world.customer.post, path)

    def _take(self, wanted: dict[int, int], response: httpx2.Response, key: str) -> Known:
        for number, quantity in wanted.items():
            self.stocks[number] -= quantity
        return Known(response.headers["location"], key, wanted, response.content)

    @rule(target=orders, wanted=WANTED)
    def order(self, wanted: dict[int, int]) -> Any:
        key = f"k{next(self.keys)}"
        response = self._order(wanted, key)
        short = {number: quantity for number, quantity in wanted.items() if self.stocks[number] < quantity}
        if not short:
            assert response.status_code == 201, response.text
            return self._take(wanted, response, key)
        assert response.status_code == 409, response.text
        assert {
            (item["product_id"], item["requested"], item["available"]) for item in response.json()["details"]
        } == {(self.products[number], quantity, self.stocks[number]) for number, quantity in short.items()}
        return multiple()

    @rule(target=orders, wishes=st.lists(WANTED, min_size=2, max_size=5))
    def order_at_once(self, wishes: list[dict[int, int]]) -> Any:
        keyed = [(wanted, f"k{next(self.keys)}") for wanted in wishes]

        async def order_all() -> list[httpx2.Response]:
            customer = self.world.customer
            return await asyncio.gather(
                *(customer.order(*self._lines(wanted), key=key) for wanted, key in keyed)
            )

        answers = list(zip(keyed, self.world.portal.call(order_all), strict=True))
        assert {response.status_code for _, response in answers} <= {201, 409}
        placed = [
            self._take(wanted, response, key)
            for (wanted, key), response in answers
            if response.status_code == 201
        ]
        assert min(self.stocks) >= 0, "more was sold than there was"
        for (wanted, _), response in answers:
            # Nothing came back since: what was short then is short still.
            if response.status_code == 409:
                assert any(self.stocks[number] < quantity for number, quantity in wanted.items())
        return multiple(*placed)

    @rule(order=orders)
    def repeat(self, order: Known) -> None:
        response = self._order(order.wanted, order.key)
        assert (response.status_code, response.content) == (201, order.body)
        assert response.headers["idempotency-replayed"] == "true"

    @rule(order=orders, action=st.sampled_from(["cancel", "pay"]))
    def finish(self, order: Known, action: str) -> None:
        response = self._post(f"{order.location}/{action}")
        if order.status != "pending":
            assert response.status_code == 409, response.text
            return
        assert response.status_code == 200, response.text
        order.status = response.json()["status"]
        if action == "cancel":
            for number, quantity in order.wanted.items():
                self.stocks[number] += quantity

    def teardown(self) -> None:
        if hasattr(self, "products"):
            counted = [run(stock_of, self.world.database, product) for product in self.products]
            assert counted == self.stocks
            run(check_invariants, self.world.database)


@pytest.fixture
def world(database: Database, serve: Serve, sign_in: SignIn, new_product: NewProduct) -> Iterator[World]:
    """The application in a thread of its own, because the machine's rules do not await."""

    async def open_account(client: httpx2.AsyncClient) -> Customer:
        user = await sign_in(database)
        response = await client.post(ACCOUNTS, json={"name": "Mine"}, headers=user.headers)
        return Customer(client, str(user.user_id), user.headers, response.json()["id"])

    with start_blocking_portal("asyncio") as portal:
        serving = serve(database.settings(database_pool_size=5))
        with portal.wrap_async_context_manager(serving) as client:
            customer = portal.call(open_account, client)
            yield World(portal, database, customer, new_product)


def test_the_stock_is_what_the_ledger_says(world: World) -> None:
    machine = type("OrdersOfThisTest", (Orders,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
