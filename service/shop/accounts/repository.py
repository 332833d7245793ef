"""The SQL of accounts: who is no member of an account finds nothing."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shop.accounts.models import Account, AccountMember
from shop.core.idempotency import IdempotencyKey

_OF_MEMBER = (
    select(*Account.__table__.columns)
    .join(AccountMember, AccountMember.account_id == Account.id)
    .where(AccountMember.user_id == bindparam("user_id"))
)
_BY_ID = _OF_MEMBER.where(Account.id == bindparam("account_id"))
# FOR UPDATE, the one strength that waits for orders on the way: each holds a key share of its account.
_LOCKED = _BY_ID.with_for_update(of=Account.__table__)
_PAGE = (
    _OF_MEMBER.where(AccountMember.account_id < bindparam("last_id"))
    .order_by(AccountMember.account_id.desc())
    .limit(bindparam("limit"))
)
_CREATE = insert(Account).returning(*Account.__table__.columns)
_ADD_MEMBER = insert(AccountMember)
# Orders are another domain's: this asks their table one question, and learns no more of it.
_HAS_PENDING_ORDERS = text(
    "SELECT EXISTS (SELECT FROM orders WHERE account_id = :account_id AND status = 'pending')"
)
# The account that already took an order with this key comes first: a repetition must find it again, though
# another account may be the oldest active one by now.
_DEFAULT = (
    select(Account.id)
    .join(AccountMember, AccountMember.account_id == Account.id)
    .outerjoin(
        IdempotencyKey,
        (IdempotencyKey.account_id == Account.id)
        & (IdempotencyKey.key == bindparam("key"))
        & (IdempotencyKey.request_hash == bindparam("request_hash")),
    )
    .where(
        AccountMember.user_id == bindparam("user_id"),
        or_(Account.status == "active", IdempotencyKey.key.is_not(None)),
    )
    .order_by(IdempotencyKey.key.is_(None), Account.created_at, Account.id)
    .limit(1)
)


async def find_account(
    connection: AsyncConnection, account_id: uuid.UUID, user_id: uuid.UUID
) -> Row[Any] | None:
    """The account, if the user is a member."""
    values = {"account_id": account_id, "user_id": user_id}
    return (await connection.execute(_BY_ID, values)).one_or_none()


async def lock_account(
    connection: AsyncConnection, account_id: uuid.UUID, user_id: uuid.UUID
) -> Row[Any] | None:
    """The account, if the user is a member; until the transaction ends nobody orders on it or changes it."""
    values = {"account_id": account_id, "user_id": user_id}
    return (await connection.execute(_LOCKED, values)).one_or_none()


async def list_accounts(
    connection: AsyncConnection, user_id: uuid.UUID, last_id: uuid.UUID, limit: int
) -> Sequence[Row[Any]]:
    """At most `limit` accounts of the user with ids below `last_id`, highest id first."""
    values = {"user_id": user_id, "last_id": last_id, "limit": limit}
    return (await connection.execute(_PAGE, values)).all()


async def create_account(
    connection: AsyncConnection, account_id: uuid.UUID, owner_id: uuid.UUID, values: dict[str, object]
) -> Row[Any]:
    """A new account with its owner as first member."""
    row = (await connection.execute(_CREATE, {"id": account_id, "owner_id": owner_id, **values})).one()
    await connection.execute(_ADD_MEMBER, {"account_id": account_id, "user_id": owner_id, "role": "owner"})
    return row


async def change_account(
    connection: AsyncConnection, account_id: uuid.UUID, changes: dict[str, object]
) -> Row[Any]:
    """The account after its change."""
    statement = (
        update(Account)
        .where(Account.id == account_id)
        .values(**changes, version=Account.version + 1, updated_at=text("now()"))
        .returning(*Account.__table__.columns)
    )
    return (await connection.execute(statement)).one()


async def has_pending_orders(connection: AsyncConnection, account_id: uuid.UUID) -> bool:
    """True while an order of the account is neither paid nor cancelled."""
    return bool((await connection.execute(_HAS_PENDING_ORDERS, {"account_id": account_id})).scalar_one())


async def find_default_account(
    connection: AsyncConnection, user_id: uuid.UUID, key: str | None, request_hash: bytes
) -> uuid.UUID | None:
    """The user's oldest active account, or the one that has the answer to this request."""
    values = {"user_id": user_id, "key": key, "request_hash": request_hash}
    return (await connection.execute(_DEFAULT, values)).scalar_one_or_none()
