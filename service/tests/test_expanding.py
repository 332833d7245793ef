"""A release that is running answers as before while a later one's migration adds to its tables."""

import ast
import re
from pathlib import Path

import httpx2
import pytest

import shop
from authentication import PASSWORD
from conftest import Database, Serve, SignedIn, SignIn

pytestmark = pytest.mark.anyio


async def everything(client: httpx2.AsyncClient, admin: SignedIn, name: str) -> list[httpx2.Response]:
    """The answers of each route that reads or writes the database."""
    answers: list[httpx2.Response] = []

    async def ask(method: str, path: str, token: str = "", **sent: object) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else dict(admin.headers)
        response = await client.request(method, path, headers=headers, **sent)  # type: ignore[arg-type]
        answers.append(response)
        return response

    product = {"sku": name, "name": "Cup", "category": "cups", "price": "7.90", "stock": 50}
    products = [
        (await ask("POST", "/api/v1/products", json={**product, "sku": f"{name}-{number}"})).json()["id"]
        for number in range(2)
    ]
    path = f"/api/v1/products/{products[0]}"
    await ask("POST", f"{path}/stock", json={"change_amount": 5, "reason": "restock"})
    await ask("PATCH", path, json={"name": "Mug"})
    for address in (path, f"{path}/stock-log", "/api/v1/products", "/api/v1/products/categories"):
        await ask("GET", address)
    await ask("GET", "/api/v1/products?category=cups")
    user = {"email": f"{name}@shop.test", "password": PASSWORD, "name": "Ada"}
    await ask("POST", "/api/v1/users", json=user)
    login = {"username": user["email"], "password": PASSWORD}
    tokens = (await ask("POST", "/api/v1/auth/login", data=login)).json()
    again = {"refresh_token": tokens["refresh_token"]}
    tokens = (await ask("POST", "/api/v1/auth/refresh", json=again)).json()
    token = tokens["access_token"]
    await ask("GET", "/api/v1/users/me", token)
    await ask("PATCH", "/api/v1/users/me", token, json={"name": "Bob"})
    await ask("GET", "/api/v1/users")
    account = (await ask("POST", "/api/v1/accounts", token, json={"name": "Home"})).json()["id"]
    home = f"/api/v1/accounts/{account}"
    await ask("GET", "/api/v1/accounts", token)
    await ask("GET", home, token)
    await ask("PATCH", home, token, json={"name": "Household"})
    for ordered in ([products[0]], products):
        items = [{"product_id": product_id, "quantity": 1} for product_id in ordered]
        order = (await ask("POST", f"{home}/orders", token, json={"items": items})).json()
        await ask("GET", f"{home}/orders/{order['id']}", token)
        await ask("POST", f"{home}/orders/{order['id']}/{'cancel' if len(ordered) == 1 else 'pay'}", token)
    await ask("GET", f"{home}/orders", token)
    await ask("GET", f"{home}/orders?status=paid", token)
    await ask("POST", "/api/v1/auth/logout", json={"refresh_token": tokens["refresh_token"]})
    await ask("GET", "/health/ready")
    return answers


def _told(answers: list[httpx2.Response]) -> list[str]:
    return [f"{answer.request.method} {answer.request.url.path}: {answer.text}" for answer in answers]


async def test_a_column_added_to_every_table_makes_no_request_fail(
    database: Database, serve: Serve, sign_in: SignIn
) -> None:
    admin = await sign_in(database, "admin")
    # One connection: what was prepared before the migration is used after it.
    async with serve(database.settings(database_pool_size=1, database_max_overflow=0)) as client:
        before = await everything(client, admin, "before")
        assert all(answer.status_code < 300 for answer in before), _told(before)
        tables = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'shop'")
        for row in tables:
            await database.execute(f"ALTER TABLE {row[0]} ADD COLUMN added text")
        after = await everything(client, admin, "after")
    assert all(answer.status_code < 300 for answer in after), _told(after)


async def test_a_column_of_another_type_is_met_once_by_a_transaction_and_repeated(
    database: Database, serve: Serve, sign_in: SignIn
) -> None:
    admin = await sign_in(database, "admin")
    async with serve(database.settings(database_pool_size=1, database_max_overflow=0)) as client:
        await everything(client, admin, "before")
        await database.execute("ALTER TABLE products ALTER COLUMN sku TYPE text")
        product = {"sku": "later", "name": "Cup", "category": "cups", "price": "7.90"}
        response = await client.post("/api/v1/products", json=product, headers=admin.headers)
    assert response.status_code == 201, response.text


STAR = re.compile(r"(?:SELECT|RETURNING)\s+(?:\w+\.)?\*", re.IGNORECASE)


def test_no_statement_leaves_its_columns_to_the_table() -> None:
    open_statements = []
    for path in Path(shop.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and STAR.search(node.value):
                open_statements.append(f"{path.name}:{node.lineno}")
    assert not open_statements
