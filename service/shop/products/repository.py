"""The SQL of products: statements are built once, each is one round trip."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shop.core.reads import Read
from shop.products.models import Product

LARGEST_ID = uuid.UUID(int=2**128 - 1)

BY_ID = Read(select(*Product.__table__.columns).where(Product.id == bindparam("id"), Product.is_active))
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
PAGE = Read(_PAGE)
CATEGORY_PAGE = Read(_PAGE.where(Product.category == bindparam("category")))


async def find_product(engine: AsyncEngine, product_id: uuid.UUID) -> Mapping[str, Any] | None:
    """The product for sale with this id."""
    rows = await BY_ID.fetch(engine, id=product_id)
    return rows[0] if rows else None


async def list_products(
    engine: AsyncEngine, *, category: str | None, last_id: uuid.UUID | None, limit: int
) -> Sequence[Mapping[str, Any]]:
    """At most `limit` products for sale with ids below `last_id`, highest id first."""
    after = last_id or LARGEST_ID
    if category is None:
        return await PAGE.fetch(engine, last_id=after, limit=limit)
    return await CATEGORY_PAGE.fetch(engine, last_id=after, limit=limit, category=category)


async def list_categories(connection: AsyncConnection) -> Sequence[Row[Any]]:
    """Every category with a product for sale: its name, its products, those of them in stock."""
    return (await connection.execute(_CATEGORIES)).all()
