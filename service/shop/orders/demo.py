"""Made-up orders in the order of their times, so that the stock log is one story."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from shop.core.demo import Demo, Row
from shop.products.demo import change_stock, restock

MOST_ORDERS = 8
STATUSES = ("pending", "paid", "shipped", "cancelled")
WEIGHTS = (2, 3, 6, 1)


def seed(demo: Demo) -> None:
    """At most eight orders of each account since it was opened."""
    for moment, account in sorted(_moments(demo), key=lambda planned: planned[0]):
        _add_order(demo, moment, account)


def _moments(demo: Demo) -> Iterator[tuple[datetime, Row]]:
    for account in demo.table("accounts"):
        seconds = int((demo.now - account["created_at"]).total_seconds())
        for _ in range(demo.chance.randrange(MOST_ORDERS + 1)):
            yield account["created_at"] + timedelta(seconds=demo.chance.randrange(seconds)), account


def _add_order(demo: Demo, moment: datetime, account: Row) -> None:
    (status,) = demo.chance.choices(STATUSES, WEIGHTS)
    order: Row = {
        "id": demo.id_at(moment),
        "account_id": account["id"],
        "created_by": account["owner_id"],
        "status": status,
        "total": Decimal(0),
        "currency": demo.currency,
        "created_at": moment,
        "updated_at": moment,
    }
    by = {"order_id": order["id"], "actor_id": account["owner_id"]}
    wanted = [
        (product, demo.chance.randrange(1, 5))
        for product in demo.chance.sample(demo.table("products"), demo.chance.randrange(1, 4))
    ]
    for product, quantity in wanted:
        if product["stock"] < quantity:
            restock(demo, product, moment)
        change_stock(demo, product, -quantity, "order", moment, **by)
        order["total"] += quantity * product["price"]
        item = {"order_id": order["id"], "product_id": product["id"]}
        demo.table("order_items").append({**item, "quantity": quantity, "unit_price": product["price"]})
    if status == "cancelled":
        for product, quantity in wanted:
            change_stock(demo, product, quantity, "cancel", moment, **by)
    demo.table("orders").append(order)
