"""What one can do with accounts."""

import uuid
from collections.abc import Callable

import uuid_utils.compat
from sqlalchemy.ext.asyncio import AsyncConnection

from shop.accounts import repository
from shop.accounts.errors import (
    account_closed,
    account_has_pending_orders,
    account_not_found,
    account_of_other_currency,
    account_suspended,
    no_active_account,
    owner_only,
)
from shop.accounts.schemas import AccountCreate, AccountRead, AccountUpdate
from shop.core.database import Resources
from shop.core.pagination import LARGEST_ID, cut
from shop.core.principal import Principal
from shop.core.transactions import in_transaction, reading

__all__ = [
    "AccountRead",
    "account_closed",
    "account_not_found",
    "account_of_other_currency",
    "account_suspended",
    "create_account",
    "default_account",
    "get_account",
    "list_accounts",
    "update_account",
]


async def get_account(resources: Resources, principal: Principal, account_id: uuid.UUID) -> AccountRead:
    """The account, for its members. Raises AppError 404 for everybody else."""
    async with reading(resources.reads) as connection:
        row = await repository.find_account(connection, account_id, principal.user_id)
    if row is None:
        raise account_not_found(account_id)
    return AccountRead.model_validate(row)


async def list_accounts(
    resources: Resources, principal: Principal, *, last_id: uuid.UUID | None, limit: int
) -> tuple[list[AccountRead], uuid.UUID | None]:
    """At most `limit` accounts of the caller after `last_id`, newest first, and the next page's `last_id`."""
    async with reading(resources.reads) as connection:
        rows = await repository.list_accounts(connection, principal.user_id, last_id or LARGEST_ID, limit + 1)
    rows, more = cut(rows, limit)
    items = [AccountRead.model_validate(row) for row in rows]
    return items, items[-1].id if more else None


async def create_account(
    resources: Resources, principal: Principal, account: AccountCreate, currency: str
) -> AccountRead:
    """A new active account: the caller is its owner and its first member.

    Raises AppError 409 `currency_not_sold` unless it names the shop's `currency`, or none.
    """
    if account.currency not in (None, currency):
        raise account_of_other_currency(currency)
    values = {"name": account.name, "currency": currency}

    async def create(connection: AsyncConnection) -> AccountRead:
        row = await repository.create_account(
            connection, uuid_utils.compat.uuid7(), principal.user_id, values
        )
        return AccountRead.model_validate(row)

    return await in_transaction(resources.writes, create)


async def update_account(
    resources: Resources,
    principal: Principal,
    account_id: uuid.UUID,
    changes: AccountUpdate,
    require_version: Callable[[int], None],
) -> AccountRead:
    """The account after its owner's change.

    A suspended account takes no new orders and can become active again. A closed account is closed for good,
    and is closed only when none of its orders is pending. Once the change is committed no order is placed by
    what was before: the lock waits for orders on the way, and orders wait for the lock.

    `require_version` raises when the caller expected another version. Raises AppError 404 for others, 403 for
    members, 409 `account_closed` and `account_has_pending_orders`.
    """

    async def change(connection: AsyncConnection) -> AccountRead:
        row = await repository.lock_account(connection, account_id, principal.user_id)
        if row is None:
            raise account_not_found(account_id)
        if row.owner_id != principal.user_id:
            raise owner_only()
        require_version(row.version)
        if row.status == "closed":
            raise account_closed()
        values = changes.model_dump(exclude_unset=True)
        if values.get("status") == "closed" and await repository.has_pending_orders(connection, account_id):
            raise account_has_pending_orders()
        return AccountRead.model_validate(await repository.change_account(connection, account_id, values))

    return await in_transaction(resources.writes, change)


async def default_account(
    resources: Resources, principal: Principal, key: str | None, request_hash: bytes
) -> uuid.UUID:
    """The account meant by an order that names none: the caller's oldest active one.

    A repeated request (same `key`, same `request_hash`) finds the account it found at first.
    Raises AppError 409 `no_active_account`.
    """
    async with reading(resources.reads) as connection:
        account_id = await repository.find_default_account(connection, principal.user_id, key, request_hash)
    if account_id is None:
        raise no_active_account()
    return account_id
