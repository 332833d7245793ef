"""The SQL of products: statements are built once, each is one round trip."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shop.products.models import Product

LARGEST_ID = uuid.UUID(int=2**128 - 1)

_BY_ID = select(*Product.__table__.columns).where(Product.id == bindparam("id"), Product.is_active)
_PAGE = (
    select(*Product.__table__.columns)
    .where(Product.is_active, Product.id < bindparam("last_id"))
    .order_by(Product.id.desc())
    .limit(bindparam("limit"))
)
_CATEGORIES = (
    select(
        Product.category.label("name"),
        func.count().label("products"),
        func.count().filter(Product.stock > 0).label("in_stock"),
    )
    .where(Product.is_active)
    .group_by(Product.category)
    .order_by(Product.category)
)
_CATEGORY_PAGE = _PAGE.where(Product.category == bindparam("category"))


async def find_product(connection: AsyncConnection, product_id: uuid.UUID) -> Row[Any] | None:
    """The product for sale with this id."""
    return (await connection.execute(_BY_ID, {"id": product_id})).one_or_none()


async def list_products(
    connection: AsyncConnection, *, category: str | None, last_id: uuid.UUID | None, limit: int
) -> Sequence[Row[Any]]:
    """At most `limit` products for sale with ids below `last_id`, highest id first."""
    values: dict[str, object] = {"last_id": last_id or LARGEST_ID, "limit": limit}
    if category is None:
        return (await connection.execute(_PAGE, values)).all()
    return (await connection.execute(_CATEGORY_PAGE, {**values, "category": category})).all()


async def list_categories(connection: AsyncConnection) -> Sequence[Row[Any]]:
    """Every category with a product for sale: its name, its products, those of them in stock."""
    return (await connection.execute(_CATEGORIES)).all()
