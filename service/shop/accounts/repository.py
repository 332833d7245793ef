"""The statements of accounts: who is no member of an account finds nothing."""

import uuid
from collections.abc import Sequence

from sqlalchemy import Select, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from shop.accounts.models import Account, AccountMember
from shop.core.idempotency import IdempotencyKey


def _of_member(user_id: uuid.UUID) -> Select[tuple[Account]]:
    return select(Account).join(Account.members).where(AccountMember.user_id == user_id)


async def find_account(
    session: AsyncSession, account_id: uuid.UUID, user_id: uuid.UUID, *, locked: bool = False
) -> Account | None:
    """The account, if the user is a member.

    `locked`: until the transaction ends nobody orders on it or changes it. FOR UPDATE is the one strength
    that waits for orders on the way: each holds a key share of its account.
    """
    statement = _of_member(user_id).where(Account.id == account_id)
    if locked:
        statement = statement.with_for_update(of=Account)
    return (await session.scalars(statement)).one_or_none()


async def list_accounts(
    session: AsyncSession, user_id: uuid.UUID, last_id: uuid.UUID, limit: int
) -> Sequence[Account]:
    """At most `limit` accounts of the user with ids below `last_id`, highest id first."""
    members = AccountMember.account_id
    page = _of_member(user_id).where(members < last_id).order_by(members.desc()).limit(limit)
    return (await session.scalars(page)).all()


# The account that already took an order with this key comes first: a repetition must find it again, though
# another account may be the oldest active one by now.
_DEFAULT = (
    select(Account.id)
    .join(Account.members)
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


async def find_default_account(
    session: AsyncSession, user_id: uuid.UUID, key: str | None, request_hash: bytes
) -> uuid.UUID | None:
    """The user's oldest active account, or the one that has the answer to this request."""
    values = {"user_id": user_id, "key": key, "request_hash": request_hash}
    return (await session.scalars(_DEFAULT, values)).one_or_none()
