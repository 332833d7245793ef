"""The SQL of users: statements are built once, each is one round trip."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shop.users.models import User

_PROFILE = (
    User.id,
    User.email,
    User.name,
    User.avatar,
    User.plan,
    User.role,
    User.is_active,
    User.version,
    User.created_at,
    User.updated_at,
)
_INSERT = insert(User).returning(*_PROFILE)
_BY_ID = select(*_PROFILE).where(User.id == bindparam("id"))
_LOCKED_BY_ID = _BY_ID.with_for_update(key_share=True)
_BY_EMAIL = select(User.id, User.hashed_password, User.role, User.is_active, User.token_version).where(
    # In lower case on both sides as PostgreSQL makes it: the unique index is on lower(email).
    func.lower(User.email) == func.lower(bindparam("email"))
)
_STANDING = select(User.role).where(
    User.id == bindparam("id"), User.is_active, User.token_version == bindparam("token_version")
)
_LOCKED_STANDING = (
    select(User.role, User.is_active, User.token_version)
    .where(User.id == bindparam("id"))
    .with_for_update(key_share=True)
)
_FIRST_PAGE = select(*_PROFILE).order_by(User.created_at.desc(), User.id.desc()).limit(bindparam("limit"))
_PAGE_AFTER = _FIRST_PAGE.where(
    text(
        "(users.created_at, users.id) < "
        "(SELECT last.created_at, last.id FROM users AS last WHERE last.id = :last_id)"
    )
)
_NEW_HASH = (
    update(User)
    .where(User.id == bindparam("user_id"), User.hashed_password == bindparam("old"))
    .values(hashed_password=bindparam("new"))
)


async def insert_user(connection: AsyncConnection, values: Mapping[str, object]) -> Row[Any]:
    """Add a user and return their profile."""
    return (await connection.execute(_INSERT, values)).one()


async def find_profile(
    connection: AsyncConnection, user_id: uuid.UUID, *, locked: bool = False
) -> Row[Any] | None:
    """The profile of this user; `locked` keeps others from changing it until the transaction ends."""
    return (await connection.execute(_LOCKED_BY_ID if locked else _BY_ID, {"id": user_id})).one_or_none()


async def update_profile(
    connection: AsyncConnection, user_id: uuid.UUID, changes: Mapping[str, object]
) -> Row[Any]:
    """Change columns of a user that exists; their version rises by one."""
    statement = (
        update(User)
        .where(User.id == user_id)
        .values(version=User.version + 1, updated_at=func.now(), **changes)
        .returning(*_PROFILE)
    )
    return (await connection.execute(statement)).one()


_ADMINISTERED = (
    update(User)
    .where(func.lower(User.email) == func.lower(bindparam("of_email")))
    .values(version=User.version + 1, updated_at=func.now(), token_version=User.token_version + 1)
)


async def administer(
    connection: AsyncConnection, email: str, changes: Mapping[str, object]
) -> Row[Any] | None:
    """Change columns of the user with this address and end all their sessions; None when nobody has it."""
    statement = _ADMINISTERED.values(**changes).returning(*_PROFILE)
    return (await connection.execute(statement, {"of_email": email})).one_or_none()


async def find_by_email(connection: AsyncConnection, email: str) -> Row[Any] | None:
    """What a login needs of the user with this address."""
    return (await connection.execute(_BY_EMAIL, {"email": email})).one_or_none()


async def find_standing(connection: AsyncConnection, user_id: uuid.UUID, token_version: int) -> str | None:
    """The role of an active user whose tokens have this version."""
    values = {"id": user_id, "token_version": token_version}
    return (await connection.execute(_STANDING, values)).scalar_one_or_none()


async def lock_standing(connection: AsyncConnection, user_id: uuid.UUID) -> Row[Any] | None:
    """role, is_active and token_version of a user, which nobody changes until the transaction ends."""
    return (await connection.execute(_LOCKED_STANDING, {"id": user_id})).one_or_none()


async def list_profiles(
    connection: AsyncConnection, *, last_id: uuid.UUID | None, limit: int
) -> Sequence[Row[Any]]:
    """At most `limit` users who came before the one with `last_id`, newest first."""
    if last_id is None:
        return (await connection.execute(_FIRST_PAGE, {"limit": limit})).all()
    return (await connection.execute(_PAGE_AFTER, {"limit": limit, "last_id": last_id})).all()


async def replace_hash(connection: AsyncConnection, user_id: uuid.UUID, old: str, new: str) -> None:
    """Store `new` where `old` still is."""
    await connection.execute(_NEW_HASH, {"user_id": user_id, "old": old, "new": new})
