"""What one can do with products."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from shop.core.cache import RedisCache, cached
from shop.core.errors import AppError
from shop.core.transactions import reading
from shop.products import repository
from shop.products.schemas import CategoryRead

CATEGORIES = "product_categories"


async def get_product(engine: AsyncEngine, product_id: uuid.UUID) -> Mapping[str, Any]:
    """ProductRead's fields of the product with this id. Raises AppError 404 when it is not for sale."""
    row = await repository.find_product(engine, product_id)
    if row is None:
        raise AppError(404, "product_not_found", f"No product with the id {product_id} is for sale.")
    return row


async def list_products(
    engine: AsyncEngine, *, category: str | None, last_id: uuid.UUID | None, limit: int
) -> tuple[Sequence[Mapping[str, Any]], uuid.UUID | None]:
    """At most `limit` products after `last_id`, newest first, and the next page's `last_id`, if any."""
    # One row more than asked for tells whether a next page exists, without counting.
    rows = await repository.list_products(engine, category=category, last_id=last_id, limit=limit + 1)
    items = rows[:limit]
    return items, items[-1]["id"] if len(rows) > limit else None


@cached(expire=300, key_prefix=CATEGORIES, shape=list[CategoryRead])
async def list_categories(engine: AsyncEngine) -> list[CategoryRead]:
    """Every category with a product for sale. It reads all products, so it is worth keeping."""
    async with reading(engine) as connection:
        rows = await repository.list_categories(connection)
    return [CategoryRead.model_validate(row) for row in rows]


async def stock_changed(cache: RedisCache, changes: Iterable[tuple[int, int]]) -> None:
    """Forget what the cache knows of stock; to be awaited AFTER the commit that changed it.

    `changes` are pairs of change_amount (below 0 for a sale) and balance_after, as stock_log has them. Only
    a product that ran out or came back changes an answer that is kept, so most calls cost nothing. It never
    raises for Redis: `await stock_changed(cache_of(request), [(-2, 0)])` from shop.core.cache.
    """
    if any(balance == 0 or balance == change for change, balance in changes):
        await cache.clear(CATEGORIES)
