"""The statements of orders with their parameters; each function is one round trip."""

import uuid
from collections.abc import Sequence
from typing import Any

import uuid_utils.compat
from sqlalchemy import Row, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shop.orders import sql
from shop.orders.models import Order
from shop.orders.schemas import Line


def _ids_and_quantities(lines: Sequence[Line]) -> dict[str, object]:
    return {
        "product_ids": [line.product_id for line in lines],
        "quantities": [line.quantity for line in lines],
    }


async def place_one(connection: AsyncConnection, caller: dict[str, object], line: Line) -> Row[Any]:
    """Place the order if all conditions hold; the row has what tells which one did not."""
    values = {"order_id": uuid_utils.compat.uuid7(), "product_id": line.product_id, "quantity": line.quantity}
    return (await connection.execute(sql.PLACE_ONE, {**caller, **values})).one()


async def lock_several(
    connection: AsyncConnection, caller: dict[str, object], lines: Sequence[Line]
) -> Sequence[Row[Any]]:
    """Lock the products in the order of their ids: a row for each, one without product when there is none."""
    values = {
        "account_id": caller["account_id"],
        "user_id": caller["user_id"],
        "key": caller["key"],
        "currency": caller["currency"],
        "product_ids": [line.product_id for line in lines],
    }
    return (await connection.execute(sql.LOCK_SEVERAL, values)).all()


async def place_several(
    connection: AsyncConnection, caller: dict[str, object], lines: Sequence[Line]
) -> Row[Any]:
    """Place the order of locked products that have enough; the row has its answer as JSON."""
    values = {**caller, "order_id": uuid_utils.compat.uuid7(), **_ids_and_quantities(lines)}
    return (await connection.execute(sql.PLACE_SEVERAL, values)).one()


async def known_answer(connection: AsyncConnection, caller: dict[str, object]) -> Row[Any] | None:
    """The hash and the answer kept under the caller's key, as of now."""
    values = {"account_id": caller["account_id"], "key": caller["key"]}
    return (await connection.execute(sql.KNOWN_ANSWER, values)).one_or_none()


async def cancel(
    connection: AsyncConnection, account_id: uuid.UUID, order_id: uuid.UUID, user_id: uuid.UUID
) -> Row[Any] | None:
    """Cancel the order if it is pending and give its pieces back; the row has its answer as JSON."""
    values = {"account_id": account_id, "order_id": order_id, "user_id": user_id}
    return (await connection.execute(sql.CANCEL, values)).one_or_none()


async def pay(connection: AsyncConnection, account_id: uuid.UUID, order_id: uuid.UUID) -> str | None:
    """Pay the order if it is pending; its answer as JSON."""
    values = {"account_id": account_id, "order_id": order_id}
    return (await connection.execute(sql.PAY, values)).scalar_one_or_none()


async def has_pending_orders(session: AsyncSession, account_id: uuid.UUID) -> bool:
    """True while an order of the account is neither paid nor cancelled."""
    pending = exists().where(Order.account_id == account_id, Order.status == "pending")
    return bool(await session.scalar(select(pending)))


async def find_status(connection: AsyncConnection, account_id: uuid.UUID, order_id: uuid.UUID) -> str | None:
    """The status of the account's order."""
    values = {"account_id": account_id, "order_id": order_id}
    return (await connection.execute(sql.STATUS, values)).scalar_one_or_none()


async def find_order(connection: AsyncConnection, account_id: uuid.UUID, order_id: uuid.UUID) -> str | None:
    """The account's order with its items as JSON."""
    values = {"account_id": account_id, "order_id": order_id}
    return (await connection.execute(sql.ORDER, values)).scalar_one_or_none()


async def list_orders(
    connection: AsyncConnection,
    account_id: uuid.UUID,
    user_id: uuid.UUID,
    *,
    status: str | None,
    last_id: uuid.UUID,
    limit: int,
) -> Sequence[Row[Any]]:
    """The account with at most `limit` orders below `last_id`, highest id first; nothing for no member."""
    values: dict[str, object] = {
        "account_id": account_id,
        "user_id": user_id,
        "last_id": last_id,
        "limit": limit,
    }
    if status is None:
        return (await connection.execute(sql.PAGE, values)).all()
    return (await connection.execute(sql.PAGE_OF_STATUS, {**values, "status": status})).all()
