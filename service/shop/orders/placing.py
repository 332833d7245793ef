"""Placing an order: in one statement, or under locks taken in a fixed order."""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shop.accounts import service as accounts
from shop.core.cache import RedisCache
from shop.core.database import Resources, sqlstate
from shop.core.errors import AppError, ConstraintError
from shop.core.transactions import in_transaction
from shop.orders import repository
from shop.orders.errors import KEY_CONSTRAINT, insufficient_stock, key_reused, not_for_sale, out_of_range
from shop.orders.schemas import Line, OrderRead
from shop.products import service as products

Result = TypeVar("Result")

NUMERIC_VALUE_OUT_OF_RANGE = "22003"


@dataclass(frozen=True)
class Request:
    """One request for an order: `lines` name each product once, in the order of their ids."""

    account_id: uuid.UUID
    user_id: uuid.UUID
    lines: Sequence[Line]
    key: str | None
    hash: bytes
    # The shop's: an account of another one orders nothing.
    currency: str

    @property
    def caller(self) -> dict[str, object]:
        """The parameters that all statements share."""
        return {
            "account_id": self.account_id,
            "user_id": self.user_id,
            "key": self.key,
            "request_hash": self.hash,
            "currency": self.currency,
        }


@dataclass(frozen=True)
class Placed:
    """An order, and whether an earlier request with the same key placed it.

    `changes` are the pairs of change_amount and balance_after that the stock log got from this request.
    """

    order: OrderRead
    is_replayed: bool
    changes: Sequence[tuple[int, int]] = ()


async def place_order(resources: Resources, cache: RedisCache, request: Request) -> Placed:
    """The order of `request`, committed; the one it already has when the request is a repetition.

    One product is one statement; PostgreSQL commits it by itself, and nobody waits for a row longer than that
    statement takes. Several products are locked first, in the order of their ids.

    Raises AppError: 404 `account_not_found`, 409 `account_suspended`, `account_closed`,
    `currency_not_sold` and `insufficient_stock`, 422 `idempotency_key_reused`, `product_not_for_sale` and
    `amount_too_large`, 503 when others hold the products for too long.
    """
    try:
        placed = await _place(resources, request)
    except ConstraintError as error:
        if error.name != KEY_CONSTRAINT:
            raise
        # A twin with the same key was faster, and is committed: its answer can be read now.
        placed = await _place(resources, request)
    await products.stock_changed(cache, placed.changes)
    return placed


async def _place(resources: Resources, request: Request) -> Placed:
    if len(request.lines) == 1:
        # On `reads` every statement is a transaction of its own.
        placed = await amounts_checked(
            out_of_range, in_transaction(resources.reads, partial(_place_one, request))
        )
        if placed is not None:
            return placed
    return await amounts_checked(
        out_of_range, in_transaction(resources.writes, partial(_place_under_locks, request))
    )


async def _place_one(request: Request, connection: AsyncConnection) -> Placed | None:
    """The order; None when the stock changed while the statement waited: what it read decides nothing."""
    line = request.lines[0]
    row = await repository.place_one(connection, request.caller, line)
    if row.body is not None:
        return Placed(OrderRead.model_validate_json(row.body), is_replayed=False, changes=row.changes)
    known = _known_or_refused(request, row)
    if known is not None:
        return known
    if not row.is_active:
        raise not_for_sale([line.product_id])
    if row.stock < line.quantity:
        raise insufficient_stock([_short(line, row.stock)])
    return None


async def _place_under_locks(request: Request, connection: AsyncConnection) -> Placed:
    rows = await repository.lock_several(connection, request.caller, request.lines)
    known = _known_or_refused(request, rows[0])
    if known is not None:
        return known
    stocks = {row.product_id: row.stock for row in rows if row.is_active}
    absent = [line.product_id for line in request.lines if line.product_id not in stocks]
    short = [
        _short(line, stocks[line.product_id])
        for line in request.lines
        if line.product_id in stocks and stocks[line.product_id] < line.quantity
    ]
    if absent or short:
        # The twin that took the pieces may have committed while this request waited for the locks.
        twin = await repository.known_answer(connection, request.caller)
        if twin is not None:
            return _replayed(request, twin)
        raise not_for_sale(absent) if absent else insufficient_stock(short)
    row = await repository.place_several(connection, request.caller, request.lines)
    return Placed(OrderRead.model_validate_json(row.body), is_replayed=False, changes=row.changes)


def _known_or_refused(request: Request, row: Row[Any]) -> Placed | None:
    """The order this request already has; None when its account may place one."""
    if row.account_status is None:
        raise accounts.account_not_found(request.account_id)
    if row.request_hash is not None:
        return _replayed(request, row)
    if row.account_status == "suspended":
        raise accounts.account_suspended()
    if row.account_status == "closed":
        raise accounts.account_closed()
    if row.account_currency != request.currency:
        raise accounts.account_of_other_currency(request.currency)
    return None


def _replayed(request: Request, row: Row[Any]) -> Placed:
    if bytes(row.request_hash) != request.hash:
        raise key_reused()
    return Placed(OrderRead.model_validate_json(row.known_body), is_replayed=True)


def _short(line: Line, available: int) -> dict[str, Any]:
    return {"product_id": str(line.product_id), "requested": line.quantity, "available": available}


async def amounts_checked(refusal: Callable[[], AppError], work: Awaitable[Result]) -> Result:
    """What `work` returns; `refusal()` is raised when an amount does not fit into its column."""
    try:
        return await work
    except DBAPIError as error:
        if sqlstate(error) == NUMERIC_VALUE_OUT_OF_RANGE:
            raise refusal() from error
        raise
