"""The SQL of products: statements are built once, each is one round trip."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, bindparam, exists, func, insert, literal_column, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shop.core.pagination import LARGEST_ID, LARGEST_NUMBER
from shop.core.reads import Read, Rows
from shop.products.models import Product, StockChange
from shop.products.schemas import LARGEST_STOCK

PRODUCT = tuple(Product.__table__.columns)

_BY_ID = select(*PRODUCT).where(Product.id == bindparam("id"))
BY_ID = Read(_BY_ID.where(Product.is_active))
BY_ID_OFF_SALE = Read(_BY_ID.where(~Product.is_active))
_PAGE = (
    select(*PRODUCT)
    .where(Product.id < bindparam("last_id"))
    .order_by(Product.id.desc())
    .limit(bindparam("limit"))
)
_IN_CATEGORY = Product.category == bindparam("category")
PAGE = Read(_PAGE.where(Product.is_active))
CATEGORY_PAGE = Read(_PAGE.where(Product.is_active, _IN_CATEGORY))
PAGE_OFF_SALE = Read(_PAGE.where(~Product.is_active))
CATEGORY_PAGE_OFF_SALE = Read(_PAGE.where(~Product.is_active, _IN_CATEGORY))
CATEGORIES = Read(
    select(
        Product.category.label("name"),
        func.count().label("products"),
        func.count().filter(Product.stock > literal_column("0")).label("in_stock"),
    )
    .where(Product.is_active)
    .group_by(Product.category)
    .order_by(Product.category)
)
STOCK_LOG = Read(
    select(*StockChange.__table__.columns)
    .where(StockChange.product_id == bindparam("product_id"), StockChange.id < bindparam("last_id"))
    .order_by(StockChange.id.desc())
    .limit(bindparam("limit"))
)
EXISTS = Read(select(exists().where(Product.id == bindparam("id")).label("found")))

_CREATE = insert(Product).returning(*PRODUCT)
_LOG_FIRST_STOCK = insert(StockChange).values(reason="restock")
_LOCKED_VERSION = select(Product.version).where(Product.id == bindparam("id")).with_for_update(key_share=True)
_STOCK = select(Product.stock).where(Product.id == bindparam("id"))
# One statement: the row is locked, checked, changed and the change logged, or nothing of it. The sum is in
# bigint, because one beyond integer would be an error of the statement instead of a refusal.
_COLUMNS = ", ".join(column.name for column in PRODUCT)
_CHANGE_STOCK = text(
    f"""
    WITH changed AS (
        UPDATE products
        SET stock = stock + :change_amount, version = version + 1, updated_at = now()
        WHERE id = :product_id AND stock::bigint + :change_amount BETWEEN 0 AND :largest
        RETURNING {_COLUMNS}
    ),
    logged AS (
        INSERT INTO stock_log (product_id, change_amount, balance_after, reason, actor_id)
        SELECT id, :change_amount, stock, :reason, :actor_id FROM changed
    )
    SELECT {_COLUMNS} FROM changed
    """  # noqa: S608 - the columns of the model
).columns(*PRODUCT)


async def find_product(
    engine: AsyncEngine, product_id: uuid.UUID, is_active: bool = True
) -> Mapping[str, Any] | None:
    """The product with this id, if it is for sale, or if it is not."""
    rows = await (BY_ID if is_active else BY_ID_OFF_SALE).fetch(engine, id=product_id)
    return rows[0] if rows else None


async def list_products(
    engine: AsyncEngine, *, category: str | None, last_id: uuid.UUID | None, limit: int, is_active: bool
) -> Rows:
    """At most `limit` products that are for sale, or are not, with ids below `last_id`, highest id first."""
    after = last_id or LARGEST_ID
    if category is None:
        return await (PAGE if is_active else PAGE_OFF_SALE).fetch(engine, last_id=after, limit=limit)
    page = CATEGORY_PAGE if is_active else CATEGORY_PAGE_OFF_SALE
    return await page.fetch(engine, last_id=after, limit=limit, category=category)


async def list_categories(engine: AsyncEngine) -> Rows:
    """Every category with a product for sale: its name, its products, those of them in stock."""
    return await CATEGORIES.fetch(engine)


async def list_stock_changes(
    engine: AsyncEngine, product_id: uuid.UUID, *, last_id: int | None, limit: int
) -> Rows:
    """At most `limit` changes of a product's stock with ids below `last_id`, latest first."""
    return await STOCK_LOG.fetch(
        engine, product_id=product_id, last_id=last_id or LARGEST_NUMBER, limit=limit
    )


async def product_exists(engine: AsyncEngine, product_id: uuid.UUID) -> bool:
    """Whether there is a product with this id, for sale or not."""
    return bool((await EXISTS.fetch(engine, id=product_id))[0]["found"])


async def insert_product(connection: AsyncConnection, values: Mapping[str, object]) -> Row[Any]:
    """The new product."""
    return (await connection.execute(_CREATE, values)).one()


async def log_first_stock(
    connection: AsyncConnection, product_id: uuid.UUID, stock: int, actor_id: uuid.UUID
) -> None:
    """Log the pieces a product was created with."""
    await connection.execute(
        _LOG_FIRST_STOCK,
        {"product_id": product_id, "change_amount": stock, "balance_after": stock, "actor_id": actor_id},
    )


async def lock_version(connection: AsyncConnection, product_id: uuid.UUID) -> int | None:
    """The version of a product, which nobody else changes until the transaction ends."""
    version: int | None = (await connection.execute(_LOCKED_VERSION, {"id": product_id})).scalar_one_or_none()
    return version


async def update_product(
    connection: AsyncConnection, product_id: uuid.UUID, changes: Mapping[str, object]
) -> Row[Any]:
    """The product after `changes`, one version up."""
    statement = (
        update(Product)
        .where(Product.id == product_id)
        .values(**changes, version=Product.version + 1, updated_at=func.now())
        .returning(*PRODUCT)
    )
    return (await connection.execute(statement)).one()


async def change_stock(
    connection: AsyncConnection, product_id: uuid.UUID, change_amount: int, reason: str, actor_id: uuid.UUID
) -> Row[Any] | None:
    """The product after the change, which is logged; None when its stock would leave the range."""
    values = {
        "product_id": product_id,
        "change_amount": change_amount,
        "reason": reason,
        "actor_id": actor_id,
        "largest": LARGEST_STOCK,
    }
    return (await connection.execute(_CHANGE_STOCK, values)).one_or_none()


async def find_stock(connection: AsyncConnection, product_id: uuid.UUID) -> int | None:
    """The stock of a product, for sale or not."""
    stock: int | None = (await connection.execute(_STOCK, {"id": product_id})).scalar_one_or_none()
    return stock
