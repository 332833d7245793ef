"""A made-up catalogue; every product came in once before anything was sold."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from shop.core.demo import Demo, Row

RESTOCK = 60
CATALOGUE = {
    "tea": (
        *("Assam", "Ceylon", "Darjeeling", "Earl Grey", "Genmaicha"),
        *("Jasmine", "Lapsang", "Oolong", "Sencha"),
    ),
    "teaware": ("Bowl", "Caddy", "Cup", "Infuser", "Kettle", "Pot", "Saucer", "Strainer", "Tray", "Whisk"),
}


def change_stock(demo: Demo, product: Row, amount: int, reason: str, moment: datetime, **by: Any) -> None:
    """Change the stock of a product and log it; `by` is the log's order_id and actor_id, if there are."""
    product["stock"] += amount
    product["version"] += 1
    product["updated_at"] = moment
    demo.table("stock_log").append(
        {
            "product_id": product["id"],
            "order_id": by.get("order_id"),
            "change_amount": amount,
            "balance_after": product["stock"],
            "reason": reason,
            "actor_id": by.get("actor_id"),
            "created_at": moment,
        }
    )


def restock(demo: Demo, product: Row, moment: datetime) -> None:
    """Pieces come in."""
    change_stock(demo, product, RESTOCK, "restock", moment)


def seed(demo: Demo) -> None:
    """The catalogue of the first day."""
    for category, names in CATALOGUE.items():
        for name in names:
            number = len(demo.table("products")) + 1
            product: Row = {
                "id": demo.id_at(demo.begin + timedelta(seconds=number)),
                "sku": f"DEMO-{number:03}",
                "name": f"{name} ({category})",
                "category": category,
                "price": Decimal(demo.chance.randrange(250, 9000)) / 100,
                "stock": 0,
                "version": 1,
                "created_at": demo.begin,
                "updated_at": demo.begin,
            }
            demo.table("products").append(product)
            restock(demo, product, demo.begin)
