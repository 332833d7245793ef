"""What one can do with products."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import uuid_utils.compat
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shop.core.cache import RedisCache, cached
from shop.core.pagination import cut
from shop.core.transactions import in_transaction
from shop.products import repository
from shop.products.errors import not_for_sale, product_not_found, stock_out_of_range
from shop.products.schemas import CategoryRead, StockChangeRead

CATEGORIES = "product_categories"

# ProductRead's fields: a validated model of what the database has checked would cost more than the query.
Product = Mapping[str, Any]


async def get_product(engine: AsyncEngine, product_id: uuid.UUID) -> Product:
    """The product with this id. Raises AppError 404 when nothing with it is for sale."""
    product = await repository.find_product(engine, product_id)
    if product is None:
        raise not_for_sale(product_id)
    return product


async def find_off_sale(engine: AsyncEngine, product_id: uuid.UUID) -> Product | None:
    """The product with this id that an admin has switched off."""
    return await repository.find_product(engine, product_id, is_active=False)


async def list_products(
    engine: AsyncEngine,
    *,
    category: str | None,
    last_id: uuid.UUID | None,
    limit: int,
    is_active: bool = True,
) -> tuple[Sequence[Product], bool]:
    """At most `limit` products after `last_id`, newest first, and whether more follow."""
    rows = await repository.list_products(
        engine, category=category, last_id=last_id, limit=limit + 1, is_active=is_active
    )
    return cut(rows, limit)


@cached(expire=300, key_prefix=CATEGORIES, shape=list[CategoryRead])
async def list_categories(engine: AsyncEngine) -> list[CategoryRead]:
    """Every category with a product for sale. It reads all products, so it is worth keeping."""
    return [CategoryRead(**row) for row in await repository.list_categories(engine)]


async def create_product(
    engine: AsyncEngine, cache: RedisCache, values: Mapping[str, Any], actor_id: uuid.UUID
) -> Product:
    """The new product, its first pieces logged. Raises ConstraintError for a SKU that is taken."""
    product_id = uuid_utils.compat.uuid7()

    async def work(connection: AsyncConnection) -> Row[Any]:
        row = await repository.insert_product(connection, {"id": product_id, **_with_decimal(values)})
        if row.stock:
            await repository.log_first_stock(connection, product_id, row.stock, actor_id)
        return row

    product = dict((await in_transaction(engine, work))._mapping)
    await cache.clear(CATEGORIES)
    return product


async def update_product(
    engine: AsyncEngine,
    cache: RedisCache,
    product_id: uuid.UUID,
    changes: Mapping[str, Any],
    check_version: Callable[[int], None],
) -> Product:
    """The product after `changes`, if `check_version` lets its present version pass.

    Raises AppError 404, what `check_version` raises, and ConstraintError for a SKU that is taken.
    """

    async def work(connection: AsyncConnection) -> Row[Any]:
        version = await repository.lock_version(connection, product_id)
        if version is None:
            raise product_not_found(product_id)
        check_version(version)
        return await repository.update_product(connection, product_id, _with_decimal(changes))

    product = dict((await in_transaction(engine, work))._mapping)
    await cache.clear(CATEGORIES)
    return product


def _with_decimal(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, "price": Decimal(values["price"])} if "price" in values else dict(values)


async def change_stock(
    engine: AsyncEngine,
    cache: RedisCache,
    product_id: uuid.UUID,
    *,
    change_amount: int,
    reason: str,
    actor_id: uuid.UUID,
) -> Product:
    """The product after the change, which is logged. Raises AppError 404, and 409 when it cannot be."""

    async def work(connection: AsyncConnection) -> Row[Any]:
        row = await repository.change_stock(connection, product_id, change_amount, reason, actor_id)
        if row is None:
            stock = await repository.find_stock(connection, product_id)
            raise stock_out_of_range(product_id, change_amount, stock)
        return row

    product = dict((await in_transaction(engine, work))._mapping)
    await stock_changed(cache, [(change_amount, product["stock"])])
    return product


async def list_stock_changes(
    engine: AsyncEngine, product_id: uuid.UUID, *, last_id: int | None, limit: int
) -> tuple[Sequence[StockChangeRead], bool]:
    """At most `limit` changes of a product's stock, newest first, and whether more follow.

    Raises AppError 404 when no product has this id.
    """
    rows, more = cut(
        await repository.list_stock_changes(engine, product_id, last_id=last_id, limit=limit + 1), limit
    )
    if not rows and not await repository.product_exists(engine, product_id):
        raise product_not_found(product_id)
    return [StockChangeRead(**row) for row in rows], more


async def stock_changed(cache: RedisCache, changes: Iterable[tuple[int, int]]) -> None:
    """Forget what the cache knows of stock; to be awaited AFTER the commit that changed it.

    `changes` are pairs of change_amount (below 0 for a sale) and balance_after, as stock_log has them. Only
    a product that ran out or came back changes an answer that is kept, so most calls cost nothing. It never
    raises for Redis: `await stock_changed(cache_of(request), [(-2, 0)])` from shop.core.cache.
    """
    if any(balance == 0 or balance == change for change, balance in changes):
        await cache.clear(CATEGORIES)


async def clear_cache(engine: AsyncEngine, cache: RedisCache, product_id: uuid.UUID) -> None:
    """Forget all that the cache keeps in which this product has a part. Raises AppError 404."""
    if not await repository.product_exists(engine, product_id):
        raise product_not_found(product_id)
    await cache.clear(CATEGORIES)
