"""The SQL of refresh tokens: statements are built once, each is one round trip."""

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Row,
    bindparam,
    cast,
    extract,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from shop.auth.models import RefreshToken

# The database's clock alone: those of the workers' hosts may differ.
_NOW = func.clock_timestamp()
_SECOND: ColumnElement[timedelta] = literal_column("interval '1 second'")
_INSERT = insert(RefreshToken).values(
    id=bindparam("id"),
    user_id=bindparam("user_id"),
    family=bindparam("family"),
    expires_at=_NOW + bindparam("seconds") * _SECOND,
)
_USE = (
    update(RefreshToken)
    .where(
        RefreshToken.id == bindparam("token_id"),
        RefreshToken.user_id == bindparam("of_user"),
        RefreshToken.used_at.is_(None),
        RefreshToken.revoked_at.is_(None),
        RefreshToken.expires_at > _NOW,
    )
    .values(used_at=_NOW)
    .returning(RefreshToken.family)
)
_STATE = select(
    RefreshToken.family,
    RefreshToken.revoked_at,
    cast(extract("epoch", _NOW - RefreshToken.used_at), Double).label("seconds_since_use"),
).where(RefreshToken.id == bindparam("token_id"), RefreshToken.user_id == bindparam("of_user"))
_REVOKE_FAMILY = (
    update(RefreshToken)
    .where(RefreshToken.family == bindparam("of_family"), RefreshToken.revoked_at.is_(None))
    .values(revoked_at=_NOW)
)


async def insert_token(
    connection: AsyncConnection, token_id: uuid.UUID, user_id: uuid.UUID, family: uuid.UUID, seconds: int
) -> None:
    """Add a token that can be used once within `seconds`."""
    values = {"id": token_id, "user_id": user_id, "family": family, "seconds": seconds}
    await connection.execute(_INSERT, values)


async def use_token(connection: AsyncConnection, token_id: uuid.UUID, user_id: uuid.UUID) -> uuid.UUID | None:
    """Mark the token as used and return its family; None when it could not be used (any more).

    One of several at once succeeds: the others wait for its transaction, and then find the token used.
    """
    values = {"token_id": token_id, "of_user": user_id}
    family: uuid.UUID | None = (await connection.execute(_USE, values)).scalar_one_or_none()
    return family


async def find_state(connection: AsyncConnection, token_id: uuid.UUID, user_id: uuid.UUID) -> Row[Any] | None:
    """The token's family and what became of it; `seconds_since_use` is None for a token that was not used."""
    values = {"token_id": token_id, "of_user": user_id}
    return (await connection.execute(_STATE, values)).one_or_none()


async def revoke_family(connection: AsyncConnection, family: uuid.UUID) -> int:
    """Make every token of the family useless; returns how many were not so before."""
    return (await connection.execute(_REVOKE_FAMILY, {"of_family": family})).rowcount
