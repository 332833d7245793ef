"""What one can do with products."""

import uuid

from sqlalchemy.ext.asyncio import AsyncEngine

from shop.core.errors import AppError
from shop.core.transactions import reading
from shop.products import repository
from shop.products.schemas import ProductRead


async def get_product(engine: AsyncEngine, product_id: uuid.UUID) -> ProductRead:
    """The product with this id. Raises AppError 404 when nothing with it is for sale."""
    async with reading(engine) as connection:
        row = await repository.find_product(connection, product_id)
    if row is None:
        raise AppError(404, "product_not_found", f"No product with the id {product_id} is for sale.")
    return ProductRead.model_validate(row)


async def list_products(
    engine: AsyncEngine, *, category: str | None, last_id: uuid.UUID | None, limit: int
) -> tuple[list[ProductRead], uuid.UUID | None]:
    """At most `limit` products after `last_id`, newest first, and the next page's `last_id`, if any."""
    async with reading(engine) as connection:
        # One row more than asked for tells whether a next page exists, without counting.
        rows = await repository.list_products(connection, category=category, last_id=last_id, limit=limit + 1)
    items = [ProductRead.model_validate(row) for row in rows[:limit]]
    return items, items[-1].id if len(rows) > limit else None
