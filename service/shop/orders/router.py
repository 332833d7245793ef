"""`/api/v1/accounts/{account_id}/orders`, and `/api/v1/orders` for the caller's default account."""

import uuid
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query
from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import Response

from shop.accounts import service as accounts
from shop.core.cache import cache_of
from shop.core.container import container_of
from shop.core.database import resources_of
from shop.core.idempotency import KeyHeader, request_hash
from shop.core.pagination import DEFAULT_LIMIT, LastId, Limit, following_page, link_headers
from shop.core.principal import CurrentUser
from shop.core.routing import api_router, problems
from shop.core.session import session_on
from shop.orders import service
from shop.orders.schemas import OrderCreate, OrderPage, OrderRead, Status
from shop.settings import Settings

PATH = "/api/v1/accounts/{account_id}/orders"
DEFAULT_PATH = "/api/v1/orders"


async def load_account(request: Request, principal: CurrentUser, account_id: uuid.UUID) -> None:
    """Let only members of the account through. Raises AppError 404."""
    async with session_on(resources_of(request).reads) as session:
        await accounts.get_account(session, principal, account_id)


router = api_router("", "orders", 401, 404, 422, 503)
# What is done to one order stands behind its account. The list and the new order need no such step: they
# check the caller in the statement they send anyway.
ORDER = f"{PATH}/{{order_id}}"
FOR_MEMBERS = [Depends(load_account)]


def _answer(order: OrderRead) -> Response:
    return Response(order.model_dump_json(), media_type="application/json")


def _item(row: Row[Any], account_id: str) -> dict[str, Any]:
    return {
        "id": str(row.order_id),
        "account_id": account_id,
        "created_by": str(row.order_created_by),
        "status": row.order_status,
        "total": str(row.order_total),
        "currency": row.order_currency,
        "created_at": row.order_created_at,
        "updated_at": row.order_updated_at,
    }


def _page(account: accounts.AccountRead, rows: Sequence[Row[Any]], following: str | None) -> bytes:
    account_id = str(account.id)
    items = [_item(row, account_id) for row in rows]
    page = {"account": account.model_dump(mode="json"), "items": items, "next": following}
    return orjson.dumps(page, option=orjson.OPT_UTC_Z)


@router.get(PATH, response_model=OrderPage)
async def list_orders(
    request: Request,
    principal: CurrentUser,
    account_id: uuid.UUID,
    status: Annotated[Status | None, Query(description="only orders in this status")] = None,
    last_id: LastId = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """The account and its orders, newest first, a page at a time; follow `next` or the Link header."""
    account, rows, more = await service.list_orders(
        resources_of(request), principal, account_id, status=status, last_id=last_id, limit=limit
    )
    path = PATH.format(account_id=account_id)
    following = following_page(path, rows[-1].order_id, limit, status=status) if more else None
    return Response(
        _page(account, rows, following), media_type="application/json", headers=link_headers(following)
    )


async def _place(
    request: Request,
    principal: CurrentUser,
    account_id: uuid.UUID,
    order: OrderCreate,
    key: str | None,
    content_hash: bytes,
) -> Response:
    placed = await service.place_order(
        resources_of(request),
        cache_of(request),
        service.Request(
            account_id,
            principal.user_id,
            order.items,
            key,
            content_hash,
            container_of(request).get(Settings).currency,
        ),
    )
    headers = {"Location": f"{PATH.format(account_id=account_id)}/{placed.order.id}"}
    if placed.is_replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(placed.order.model_dump_json(), 201, headers=headers, media_type="application/json")


def _content_hash(path: str, order: OrderCreate) -> bytes:
    return request_hash(path, [[line.product_id, line.quantity] for line in order.items])


@router.post(PATH, status_code=201, response_model=OrderRead, responses=problems(409))
async def place_order(
    request: Request,
    principal: CurrentUser,
    account_id: uuid.UUID,
    order: OrderCreate,
    idempotency_key: KeyHeader = None,
) -> Response:
    """A new order of the account: all of it, or nothing of it.

    Send an `Idempotency-Key` and repeat the request as often as you like: it is placed once, and every
    repetition has the answer of the first with `Idempotency-Replayed: true`.
    """
    content_hash = _content_hash(PATH.format(account_id=account_id), order)
    return await _place(request, principal, account_id, order, idempotency_key, content_hash)


@router.post(DEFAULT_PATH, status_code=201, response_model=OrderRead, responses=problems(409))
async def place_order_on_default_account(
    request: Request, principal: CurrentUser, order: OrderCreate, idempotency_key: KeyHeader = None
) -> Response:
    """A new order of your oldest active account, as under that account's own address."""
    content_hash = _content_hash(DEFAULT_PATH, order)
    async with session_on(resources_of(request).reads) as session:
        account_id = await accounts.default_account(session, principal, idempotency_key, content_hash)
    return await _place(request, principal, account_id, order, idempotency_key, content_hash)


@router.get(ORDER, response_model=OrderRead, dependencies=FOR_MEMBERS)
async def get_order(request: Request, account_id: uuid.UUID, order_id: uuid.UUID) -> Response:
    """One order of the account with its items."""
    return _answer(await service.get_order(resources_of(request), account_id, order_id))


@router.post(f"{ORDER}/cancel", response_model=OrderRead, responses=problems(409), dependencies=FOR_MEMBERS)
async def cancel_order(
    request: Request, principal: CurrentUser, account_id: uuid.UUID, order_id: uuid.UUID
) -> Response:
    """Cancel a pending order; its pieces are for sale again."""
    return _answer(
        await service.cancel_order(resources_of(request), cache_of(request), principal, account_id, order_id)
    )


@router.post(f"{ORDER}/pay", response_model=OrderRead, responses=problems(409), dependencies=FOR_MEMBERS)
async def pay_order(request: Request, account_id: uuid.UUID, order_id: uuid.UUID) -> Response:
    """Mark a pending order as paid."""
    return _answer(await service.pay_order(resources_of(request), account_id, order_id))
