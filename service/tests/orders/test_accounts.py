"""What a client gets from /api/v1/accounts."""

from typing import Any

import httpx2
import pytest

from conftest import Database, SignedIn, SignIn
from orders.conftest import ACCOUNTS, Customer, NewCustomer, NewProduct
from problems import assert_problem

pytestmark = pytest.mark.anyio

NOBODYS = "019b76da-a800-7000-8000-00000000ffff"


@pytest.fixture
async def user(sign_in: SignIn, database: Database) -> SignedIn:
    """A user without an account."""
    return await sign_in(database)


async def test_who_creates_an_account_owns_it_and_is_a_member(
    client: httpx2.AsyncClient, user: SignedIn, database: Database
) -> None:
    body = {"name": " Tea house ", "currency": "EUR"}
    response = await client.post(ACCOUNTS, json=body, headers=user.headers)
    assert response.status_code == 201, response.text
    account = response.json()
    assert response.headers["location"] == f"{ACCOUNTS}/{account['id']}"
    assert response.headers["etag"] == 'W/"1"'
    assert account.pop("created_at") == account.pop("updated_at")
    assert account == {
        "id": account["id"],
        "owner_id": str(user.user_id),
        "name": "Tea house",
        "currency": "EUR",
        "status": "active",
        "version": 1,
    }
    read = await client.get(response.headers["location"], headers=user.headers)
    assert read.content == response.content
    (member,) = await database.fetch("SELECT user_id, role FROM shop.account_members")
    assert tuple(member) == (user.user_id, "owner")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 101},
        {"name": "a\0b"},
        {"name": "a\nb"},
        {"name": None},
        {"name": 1},
        {"name": "A", "currency": "eur"},
        {"name": "A", "currency": "EURO"},
        {"name": "A", "currency": "EUR\n"},
        {"name": "A", "owner_id": NOBODYS},
        {"name": "A", "id": NOBODYS},
        [],
    ],
    ids=str,
)
async def test_an_account_that_cannot_be_is_refused(
    client: httpx2.AsyncClient, user: SignedIn, body: Any
) -> None:
    assert_problem(await client.post(ACCOUNTS, json=body, headers=user.headers), 422)


async def test_one_sees_the_accounts_one_is_a_member_of(
    customer: Customer, new_customer: NewCustomer, database: Database
) -> None:
    other = await new_customer()
    assert [account["id"] for account in (await customer.get(ACCOUNTS)).json()["items"]] == [
        customer.account_id
    ]
    foreign = f"{ACCOUNTS}/{other.account_id}"
    assert_problem(await customer.get(foreign), 404, "account_not_found")
    assert_problem(await customer.patch(foreign, {"name": "Mine"}), 404, "account_not_found")
    await database.execute(
        "INSERT INTO account_members (account_id, user_id) "
        f"VALUES ('{other.account_id}', '{customer.user_id}')"
    )
    assert (await customer.get(foreign)).status_code == 200
    assert len((await customer.get(ACCOUNTS)).json()["items"]) == 2
    # A member sees the account, so the answer may say whose it is to change.
    assert_problem(await customer.patch(foreign, {"name": "Mine"}), 403, "account_owner_only")


async def test_accounts_come_page_by_page(client: httpx2.AsyncClient, user: SignedIn) -> None:
    for number in range(5):
        await client.post(ACCOUNTS, json={"name": f"Number {number}"}, headers=user.headers)
    page = await client.get(ACCOUNTS, params={"limit": 2}, headers=user.headers)
    names = []
    while True:
        names += [account["name"] for account in page.json()["items"]]
        following = page.json()["next"]
        if following is None:
            break
        assert page.headers["link"] == f'<{following}>; rel="next"'
        page = await client.get(following, headers=user.headers)
    assert names == [f"Number {number}" for number in reversed(range(5))]


async def test_a_change_raises_the_version(customer: Customer) -> None:
    path = f"{ACCOUNTS}/{customer.account_id}"
    response = await customer.patch(path, {"name": "Other"})
    assert response.status_code == 200, response.text
    assert (response.json()["name"], response.json()["version"]) == ("Other", 2)
    assert response.headers["etag"] == 'W/"2"'
    assert (await customer.get(path)).content == response.content


async def test_a_change_of_what_one_has_not_seen_is_refused(customer: Customer) -> None:
    path = f"{ACCOUNTS}/{customer.account_id}"
    seen = (await customer.get(path)).headers["etag"]
    changed = await customer.patch(path, {"name": "First"}, {"If-Match": seen})
    assert changed.status_code == 200, changed.text
    refused = await customer.patch(path, {"name": "Second"}, {"If-Match": seen})
    assert_problem(refused, 412, "stale")
    assert refused.headers["etag"] == changed.headers["etag"]
    assert (await customer.get(path)).json()["name"] == "First"


@pytest.mark.parametrize(
    "body",
    [{}, {"name": None}, {"name": ""}, {"status": None}, {"status": "lost"}, {"currency": "CHF"}],
    ids=str,
)
async def test_a_change_that_cannot_be_is_refused(customer: Customer, body: dict[str, Any]) -> None:
    assert_problem(await customer.patch(f"{ACCOUNTS}/{customer.account_id}", body), 422)


async def test_a_suspended_account_becomes_active_again_a_closed_one_never(customer: Customer) -> None:
    path = f"{ACCOUNTS}/{customer.account_id}"
    for status in ("suspended", "active", "suspended", "closed"):
        response = await customer.patch(path, {"status": status})
        assert (response.status_code, response.json()["status"]) == (200, status)
    for body in ({"status": "active"}, {"name": "Other"}, {"status": "closed"}):
        assert_problem(await customer.patch(path, body), 409, "account_closed")


async def test_an_account_with_pending_orders_is_not_closed(
    customer: Customer, new_product: NewProduct
) -> None:
    path = f"{ACCOUNTS}/{customer.account_id}"
    location = (await customer.order((await new_product(), 1))).headers["location"]
    assert_problem(await customer.patch(path, {"status": "closed"}), 409, "account_has_pending_orders")
    assert (await customer.get(path)).json()["status"] == "active"
    await customer.post(f"{location}/cancel")
    assert (await customer.patch(path, {"status": "closed"})).status_code == 200


@pytest.mark.parametrize("account_id", ["x", "12345", "%00", "..%2f", "019b76da"])
async def test_an_id_that_is_none_is_refused(customer: Customer, account_id: str) -> None:
    response = await customer.get(f"{ACCOUNTS}/{account_id}")
    assert assert_problem(response).status in (404, 422)
