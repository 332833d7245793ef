"""A user with an account, who orders one product over and over."""

import uuid
from typing import Any

import orjson

from bench.measure import Request
from bench.servers import PRODUCTS, Database, product_id
from shop.auth.tokens import Tokens

HOT = product_id(PRODUCTS // 2)
PLENTY = 100_000_000


class Customer:
    """The rows and the token of the one who orders."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.user_id, self.account_id = uuid.uuid4(), uuid.uuid4()
        database.execute(
            "INSERT INTO users (id, email, hashed_password, name) "
            f"VALUES ('{self.user_id}', 'bench@shop.test', 'none', 'Bench')",
            "INSERT INTO accounts (id, owner_id, name) "
            f"VALUES ('{self.account_id}', '{self.user_id}', 'Bench')",
            "INSERT INTO account_members (account_id, user_id, role) "
            f"VALUES ('{self.account_id}', '{self.user_id}', 'owner')",
        )
        token = Tokens(database.settings()).issue("access", self.user_id, 1)
        # The load client puts a new key into each request it sends.
        self._headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "{key}"}

    def order(self, product: str = HOT) -> Request:
        """A request for one piece of the product, with a key of its own."""
        body = orjson.dumps({"items": [{"product_id": product, "quantity": 1}]}).decode()
        path = f"/api/v1/accounts/{self.account_id}/orders"
        return {"method": "POST", "path": path, "headers": self._headers, "body": body}

    def stock(self, pieces: int) -> None:
        """Put so many pieces of the product in stock."""
        self._database.execute(f"UPDATE products SET stock = {pieces} WHERE id = '{HOT}'")

    def state(self) -> dict[str, Any]:
        """Pieces in stock, and pieces that all orders together have taken."""
        rows = self._database.fetch(
            "SELECT (SELECT stock FROM shop.products WHERE id = product_id) AS stock, sum(quantity) AS sold "
            f"FROM shop.order_items WHERE product_id = '{HOT}' GROUP BY product_id"
        )
        return dict(rows[0]) if rows else {"stock": None, "sold": 0}
