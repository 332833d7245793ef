"""The statements of users. Those on a connection are auth's, in a transaction of its own."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shop.users.models import User

_NEWEST_FIRST = select(User).order_by(User.created_at.desc(), User.id.desc())
_BEFORE = text(
    "(users.created_at, users.id) < "
    "(SELECT last.created_at, last.id FROM users AS last WHERE last.id = :last_id)"
)


async def find_user(session: AsyncSession, user_id: uuid.UUID, *, locked: bool = False) -> User | None:
    """The user with this id; `locked` keeps others from changing them until the transaction ends."""
    return await session.get(User, user_id, with_for_update={"key_share": True} if locked else None)


async def find_user_to_administer(session: AsyncSession, email: str) -> User | None:
    """The user with this address, locked as find_user does."""
    statement = select(User).where(func.lower(User.email) == func.lower(email))
    return (await session.scalars(statement.with_for_update(key_share=True))).one_or_none()


async def find_by_email(session: AsyncSession, email: str) -> Row[Any] | None:
    """What a login needs of the user with this address."""
    # In lower case on both sides as PostgreSQL makes it: the unique index is on lower(email).
    statement = select(User.id, User.hashed_password, User.role, User.is_active, User.token_version).where(
        func.lower(User.email) == func.lower(email)
    )
    return (await session.execute(statement)).one_or_none()


async def find_standing(session: AsyncSession, user_id: uuid.UUID, token_version: int) -> str | None:
    """The role of an active user whose tokens have this version."""
    standing = User.id == user_id, User.is_active, User.token_version == token_version
    return (await session.scalars(select(User.role).where(*standing))).one_or_none()


async def list_users(session: AsyncSession, *, last_id: uuid.UUID | None, limit: int) -> Sequence[User]:
    """At most `limit` users who came before the one with `last_id`, newest first."""
    page = _NEWEST_FIRST.limit(limit)
    if last_id is not None:
        page = page.where(_BEFORE.bindparams(last_id=last_id))
    return (await session.scalars(page)).all()


async def lock_standing(connection: AsyncConnection, user_id: uuid.UUID) -> Row[Any] | None:
    """role, is_active and token_version of a user, which nobody changes until the transaction ends."""
    statement = select(User.role, User.is_active, User.token_version).where(User.id == user_id)
    return (await connection.execute(statement.with_for_update(key_share=True))).one_or_none()


async def replace_hash(connection: AsyncConnection, user_id: uuid.UUID, old: str, new: str) -> None:
    """Store `new` where `old` still is."""
    statement = update(User).where(User.id == user_id, User.hashed_password == old)
    await connection.execute(statement.values(hashed_password=new))
