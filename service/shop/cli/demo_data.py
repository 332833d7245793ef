"""A made-up shop: users, accounts, products and orders, whose stock is the sum of its log."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

DOMAIN = "demo.example"
DAYS = 90
RESTOCK = 60
MOST_ORDERS = 8
FIRST_NAMES = (
    "Ada",
    "Bela",
    "Chiara",
    "Daan",
    "Elif",
    "Finn",
    "Greta",
    "Hana",
    "Ivan",
    "Jun",
    "Kofi",
    "Lena",
)
LAST_NAMES = (
    "Abe",
    "Berg",
    "Costa",
    "Diaz",
    "Evans",
    "Fischer",
    "Garcia",
    "Horvat",
    "Ito",
    "Jansen",
    "Kaya",
    "Lund",
)
CATALOGUE = {
    "tea": (
        "Assam",
        "Ceylon",
        "Darjeeling",
        "Earl Grey",
        "Genmaicha",
        "Jasmine",
        "Lapsang",
        "Oolong",
        "Sencha",
    ),
    "teaware": ("Bowl", "Caddy", "Cup", "Infuser", "Kettle", "Pot", "Saucer", "Strainer", "Tray", "Whisk"),
}
STATUSES = ("pending", "paid", "shipped", "cancelled")
WEIGHTS = (2, 3, 6, 1)

Row = dict[str, Any]


@dataclass
class Demo:
    """The rows of each table, in an order that foreign keys allow."""

    users: list[Row] = field(default_factory=list)
    accounts: list[Row] = field(default_factory=list)
    account_members: list[Row] = field(default_factory=list)
    products: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    order_items: list[Row] = field(default_factory=list)
    stock_log: list[Row] = field(default_factory=list)


class Maker:
    """Makes a Demo of `users` users that ends at `now`, in `currency`; the same `seed` makes the same."""

    def __init__(self, users: int, now: datetime, hashed: str, currency: str, seed: int = 1) -> None:
        self.demo = Demo()
        self._random = random.Random(seed)  # noqa: S311 - made-up data, guards nothing
        self._now = now
        self._currency = currency
        self._begin = now - timedelta(days=DAYS)
        self._make_products()
        for number in range(1, users + 1):
            self._make_user(number, hashed)
        for moment, account in sorted(self._moments(), key=lambda planned: planned[0]):
            self._make_order(moment, account)

    def _id_at(self, moment: datetime) -> UUID:
        """A version 7 id (RFC 9562, 5.7) of this moment, so that ids sort as the times do."""
        milliseconds, chance = int(moment.timestamp() * 1000), self._random.getrandbits(74)
        return UUID(int=milliseconds << 80 | 7 << 76 | chance >> 62 << 64 | 2 << 62 | chance & (1 << 62) - 1)

    def _make_products(self) -> None:
        for category, names in CATALOGUE.items():
            for name in names:
                number = len(self.demo.products) + 1
                self.demo.products.append(
                    {
                        "id": self._id_at(self._begin + timedelta(seconds=number)),
                        "sku": f"DEMO-{number:03}",
                        "name": f"{name} ({category})",
                        "category": category,
                        "price": Decimal(self._random.randrange(250, 9000)) / 100,
                        "stock": 0,
                        "version": 1,
                        "created_at": self._begin,
                        "updated_at": self._begin,
                    }
                )

    def _make_user(self, number: int, hashed: str) -> None:
        first, last = self._random.choice(FIRST_NAMES), self._random.choice(LAST_NAMES)
        created = self._begin + timedelta(minutes=self._random.randrange(DAYS * 24 * 60 // 2))
        times = {"created_at": created, "updated_at": created}
        user: Row = {
            "id": self._id_at(created),
            "email": f"{first}.{last}.{number}@{DOMAIN}".lower(),
            "hashed_password": hashed,
            "name": f"{first} {last}",
            "plan": self._random.choice(("free", "free", "pro")),
            **times,
        }
        account: Row = {
            "id": self._id_at(created),
            "owner_id": user["id"],
            "name": f"{last} & Co.",
            "currency": self._currency,
            **times,
        }
        self.demo.users.append(user)
        self.demo.accounts.append(account)
        member = {"account_id": account["id"], "user_id": user["id"], "role": "owner", "created_at": created}
        self.demo.account_members.append(member)

    def _moments(self) -> Iterator[tuple[datetime, Row]]:
        for account in self.demo.accounts:
            seconds = int((self._now - account["created_at"]).total_seconds())
            for _ in range(self._random.randrange(MOST_ORDERS + 1)):
                yield account["created_at"] + timedelta(seconds=self._random.randrange(seconds)), account

    def _change_stock(
        self, product: Row, amount: int, reason: str, moment: datetime, order: Row | None
    ) -> None:
        product["stock"] += amount
        product["version"] += 1
        product["updated_at"] = moment
        self.demo.stock_log.append(
            {
                "product_id": product["id"],
                "order_id": order["id"] if order else None,
                "change_amount": amount,
                "balance_after": product["stock"],
                "reason": reason,
                "actor_id": order["created_by"] if order else None,
                "created_at": moment,
            }
        )

    def _make_order(self, moment: datetime, account: Row) -> None:
        (status,) = self._random.choices(STATUSES, WEIGHTS)
        order: Row = {
            "id": self._id_at(moment),
            "account_id": account["id"],
            "created_by": account["owner_id"],
            "status": status,
            "total": Decimal(0),
            "currency": self._currency,
            "created_at": moment,
            "updated_at": moment,
        }
        wanted = [
            (product, self._random.randrange(1, 5))
            for product in self._random.sample(self.demo.products, self._random.randrange(1, 4))
        ]
        for product, quantity in wanted:
            if product["stock"] < quantity:
                self._change_stock(product, RESTOCK, "restock", moment, None)
            self._change_stock(product, -quantity, "order", moment, order)
            order["total"] += quantity * product["price"]
            item = {"order_id": order["id"], "product_id": product["id"]}
            self.demo.order_items.append({**item, "quantity": quantity, "unit_price": product["price"]})
        if status == "cancelled":
            for product, quantity in wanted:
                self._change_stock(product, quantity, "cancel", moment, order)
        self.demo.orders.append(order)
