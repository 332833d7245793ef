"""What one can do with orders."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shop.accounts import service as accounts
from shop.core.cache import RedisCache
from shop.core.database import Resources
from shop.core.errors import AppError
from shop.core.pagination import LARGEST_ID, cut
from shop.core.principal import Principal
from shop.core.transactions import in_transaction, reading
from shop.orders import repository
from shop.orders.errors import (
    account_has_pending_orders,
    illegal_transition,
    order_not_found,
    stock_out_of_range,
)
from shop.orders.placing import Placed, Request, amounts_checked, place_order
from shop.orders.schemas import OrderRead
from shop.products import service as products

__all__ = ["Placed", "Request", "cancel_order", "get_order", "list_orders", "pay_order", "place_order"]


@accounts.before_closing
async def refuse_pending_orders(session: AsyncSession, account_id: uuid.UUID) -> None:
    """Raise AppError 409 `account_has_pending_orders` while one is neither paid nor cancelled."""
    if await repository.has_pending_orders(session, account_id):
        raise account_has_pending_orders()


async def cancel_order(
    resources: Resources,
    cache: RedisCache,
    principal: Principal,
    account_id: uuid.UUID,
    order_id: uuid.UUID,
) -> OrderRead:
    """The cancelled order, its pieces back in stock. Only a pending order is cancelled: a paid one has to be
    refunded, which is not done here. Raises AppError 404 and 409 `illegal_transition`.
    """

    async def cancel(connection: AsyncConnection) -> Row[Any] | None:
        return await repository.cancel(connection, account_id, order_id, principal.user_id)

    row = await amounts_checked(stock_out_of_range, in_transaction(resources.reads, cancel))
    if row is None:
        raise await _refused(resources, account_id, order_id, "cancelled")
    await products.stock_changed(cache, row.changes)
    return OrderRead.model_validate_json(row.body)


async def pay_order(resources: Resources, account_id: uuid.UUID, order_id: uuid.UUID) -> OrderRead:
    """The paid order. Raises AppError 404 and 409 `illegal_transition`."""

    async def pay(connection: AsyncConnection) -> str | None:
        return await repository.pay(connection, account_id, order_id)

    body = await in_transaction(resources.reads, pay)
    if body is None:
        raise await _refused(resources, account_id, order_id, "paid")
    return OrderRead.model_validate_json(body)


async def _refused(resources: Resources, account_id: uuid.UUID, order_id: uuid.UUID, action: str) -> AppError:
    async with reading(resources.reads) as connection:
        status = await repository.find_status(connection, account_id, order_id)
    return order_not_found(order_id) if status is None else illegal_transition(action, status, "pending")


async def get_order(resources: Resources, account_id: uuid.UUID, order_id: uuid.UUID) -> OrderRead:
    """The account's order. Raises AppError 404."""
    async with reading(resources.reads) as connection:
        body = await repository.find_order(connection, account_id, order_id)
    if body is None:
        raise order_not_found(order_id)
    return OrderRead.model_validate_json(body)


async def list_orders(
    resources: Resources,
    principal: Principal,
    account_id: uuid.UUID,
    *,
    status: str | None,
    last_id: uuid.UUID | None,
    limit: int,
) -> tuple[accounts.AccountRead, Sequence[Row[Any]], bool]:
    """The account, at most `limit` of its orders after `last_id`, newest first, and whether more follow.

    Account and orders are one round trip. Raises AppError 404 when the caller is no member.
    """
    async with reading(resources.reads) as connection:
        rows = await repository.list_orders(
            connection,
            account_id,
            principal.user_id,
            status=status,
            last_id=last_id or LARGEST_ID,
            limit=limit + 1,
        )
    if not rows:
        raise accounts.account_not_found(account_id)
    account = accounts.AccountRead.model_validate(rows[0])
    page, more = cut([row for row in rows if row.order_id is not None], limit)
    return account, page, more
