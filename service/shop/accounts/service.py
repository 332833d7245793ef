"""What one can do with accounts."""

import uuid
from collections.abc import Awaitable, Callable

import uuid_utils.compat
from sqlalchemy.ext.asyncio import AsyncSession

from shop.accounts import repository
from shop.accounts.errors import (
    account_closed,
    account_not_found,
    account_of_other_currency,
    account_suspended,
    no_active_account,
    owner_only,
)
from shop.accounts.models import Account, AccountMember
from shop.accounts.schemas import AccountCreate, AccountRead, AccountUpdate
from shop.core.pagination import LARGEST_ID, cut
from shop.core.principal import Principal

__all__ = [
    "AccountRead",
    "account_closed",
    "account_not_found",
    "account_of_other_currency",
    "account_suspended",
    "before_closing",
    "create_account",
    "default_account",
    "get_account",
    "list_accounts",
    "update_account",
]

# Raises AppError when something is open on an account: accounts know of no other domain, which comes to them.
Objection = Callable[[AsyncSession, uuid.UUID], Awaitable[None]]
_objections: list[Objection] = []


def before_closing(objection: Objection) -> Objection:
    """Have `objection` asked before an account is closed."""
    _objections.append(objection)
    return objection


async def get_account(session: AsyncSession, principal: Principal, account_id: uuid.UUID) -> AccountRead:
    """The account, for its members. Raises AppError 404 for everybody else."""
    account = await repository.find_account(session, account_id, principal.user_id)
    if account is None:
        raise account_not_found(account_id)
    return AccountRead.model_validate(account)


async def list_accounts(
    session: AsyncSession, principal: Principal, *, last_id: uuid.UUID | None, limit: int
) -> tuple[list[AccountRead], uuid.UUID | None]:
    """At most `limit` accounts of the caller after `last_id`, newest first, and the next page's `last_id`."""
    found = await repository.list_accounts(session, principal.user_id, last_id or LARGEST_ID, limit + 1)
    page, more = cut(found, limit)
    items = [AccountRead.model_validate(account) for account in page]
    return items, items[-1].id if more else None


async def create_account(
    session: AsyncSession, principal: Principal, wanted: AccountCreate, currency: str
) -> AccountRead:
    """A new active account: the caller is its owner and its first member.

    Raises AppError 409 `currency_not_sold` unless it names the shop's `currency`, or none.
    """
    if wanted.currency not in (None, currency):
        raise account_of_other_currency(currency)
    account = Account(
        id=uuid_utils.compat.uuid7(),
        owner_id=principal.user_id,
        name=wanted.name,
        currency=currency,
        members=[AccountMember(user_id=principal.user_id, role="owner")],
    )
    session.add(account)
    await session.flush()
    return AccountRead.model_validate(account)


async def update_account(
    session: AsyncSession,
    principal: Principal,
    account_id: uuid.UUID,
    changes: AccountUpdate,
    require_version: Callable[[int], None],
) -> AccountRead:
    """The account after its owner's change.

    A suspended account takes no new orders and can become active again. A closed account is closed for good,
    and is closed only when nothing is open on it. Once the change is committed no order is placed by
    what was before: the lock waits for orders on the way, and orders wait for the lock.

    `require_version` raises when the caller expected another version. Raises AppError 404 for others, 403 for
    members, 409 `account_closed`, and what objects to closing it.
    """
    account = await repository.find_account(session, account_id, principal.user_id, locked=True)
    if account is None:
        raise account_not_found(account_id)
    if account.owner_id != principal.user_id:
        raise owner_only()
    require_version(account.version)
    if account.status == "closed":
        raise account_closed()
    if changes.values.get("status") == "closed":
        for objection in _objections:
            await objection(session, account_id)
    for name, value in changes.values.items():
        setattr(account, name, value)
    await session.flush()
    return AccountRead.model_validate(account)


async def default_account(
    session: AsyncSession, principal: Principal, key: str | None, request_hash: bytes
) -> uuid.UUID:
    """The account meant by an order that names none: the caller's oldest active one.

    A repeated request (same `key`, same `request_hash`) finds the account it found at first.
    Raises AppError 409 `no_active_account`.
    """
    account_id = await repository.find_default_account(session, principal.user_id, key, request_hash)
    if account_id is None:
        raise no_active_account()
    return account_id
