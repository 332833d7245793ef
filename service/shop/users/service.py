"""What one can do with users, and what other domains may know of them."""

import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import uuid_utils.compat
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shop.core.pagination import cut
from shop.core.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD, Passwords
from shop.users import repository
from shop.users.errors import password_of_wrong_length, unknown_cursor, user_invalid, user_not_found
from shop.users.models import User
from shop.users.schemas import UserCreate, UserRead, UserUpdate

Role = Literal["user", "admin"]


@dataclass(frozen=True)
class Identity:
    """What a login needs of a user."""

    user_id: uuid.UUID
    hashed_password: str
    role: Role
    is_active: bool
    token_version: int


async def create_user(
    session: AsyncSession,
    passwords: Passwords,
    *,
    email: str,
    password: str,
    name: str,
    avatar: str | None = None,
    role: Role = "user",
) -> UserRead:
    """Add an active user; the session takes no connection before the password is hashed.

    Raises AppError 422 `invalid_user` whose `details` list what is wrong with the values, and AppError 503 as
    Passwords.hash does; the session's end raises ConstraintError `uq_users_email` when the address is taken.
    """
    try:
        wanted = UserCreate.model_validate(
            {"email": email, "password": password, "name": name, "avatar": avatar}
        )
    except ValidationError as error:
        raise user_invalid(error) from None
    user = User(
        id=uuid_utils.compat.uuid7(),
        email=wanted.email,
        hashed_password=await passwords.hash(wanted.password.get_secret_value()),
        name=wanted.name,
        avatar=wanted.avatar,
        role=role,
    )
    session.add(user)
    await session.flush()
    return UserRead.model_validate(user)


def normalise_email(email: str) -> str:
    """The one form of an address: no space around it, compatibility characters resolved, lower case."""
    return unicodedata.normalize("NFKC", email).strip().lower()


async def find_identity(session: AsyncSession, email: str) -> Identity | None:
    """The user with this address, however it is written; None when nobody has it."""
    normalised = normalise_email(email)
    if not normalised.isascii() or "\x00" in normalised:
        return None
    row = await repository.find_by_email(session, normalised)
    if row is None:
        return None
    return Identity(row.id, row.hashed_password, row.role, row.is_active, row.token_version)


def _role(role: str | None) -> Role | None:
    return "admin" if role == "admin" else "user" if role == "user" else None


async def find_role(session: AsyncSession, user_id: uuid.UUID, token_version: int) -> Role | None:
    """The role of the user, None when they are disabled or gone or their tokens have another version now."""
    return _role(await repository.find_standing(session, user_id, token_version))


async def lock_role_in(connection: AsyncConnection, user_id: uuid.UUID, token_version: int) -> Role | None:
    """The same; until the transaction ends nobody else who locks it renews or ends a session of the user."""
    row = await repository.lock_standing(connection, user_id)
    if row is None or not row.is_active or row.token_version != token_version:
        return None
    return _role(row.role)


async def replace_hash_in(connection: AsyncConnection, identity: Identity, hashed: str) -> None:
    """Store a hash with today's parameters, unless the password has changed meanwhile."""
    await repository.replace_hash(connection, identity.user_id, identity.hashed_password, hashed)


async def get_user(session: AsyncSession, user_id: uuid.UUID) -> UserRead:
    """The user with this id. Raises AppError 404 `user_not_found`."""
    user = await repository.find_user(session, user_id)
    if user is None:
        raise user_not_found(user_id)
    return UserRead.model_validate(user)


async def update_user(
    session: AsyncSession, user_id: uuid.UUID, changes: UserUpdate, require_version: Callable[[int], None]
) -> UserRead:
    """The user after the change.

    `require_version` is given the version that is about to change, and raises to prevent it.
    Raises AppError 404 `user_not_found`.
    """
    user = await repository.find_user(session, user_id, locked=True)
    if user is None:
        raise user_not_found(user_id)
    require_version(user.version)
    for name, value in changes.values.items():
        setattr(user, name, value)
    await session.flush()
    return UserRead.model_validate(user)


async def administer(
    session: AsyncSession,
    passwords: Passwords,
    email: str,
    *,
    is_active: bool | None = None,
    role: Role | None = None,
    password: str | None = None,
) -> UserRead | None:
    """Change what an operator may of a user, and end all their sessions; None when nobody has the address.

    Raises AppError 422 `invalid_user` for a password of fewer than 8 or more than 256 characters.
    """
    if password is not None and not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise password_of_wrong_length()
    hashed = None if password is None else await passwords.hash(password)
    user = await repository.find_user_to_administer(session, normalise_email(email))
    if user is None:
        return None
    for name, value in {"is_active": is_active, "role": role, "hashed_password": hashed}.items():
        if value is not None:
            setattr(user, name, value)
    user.token_version += 1
    await session.flush()
    return UserRead.model_validate(user)


async def list_users(
    session: AsyncSession, *, last_id: uuid.UUID | None, limit: int
) -> tuple[list[UserRead], bool]:
    """At most `limit` users who came before `last_id`, newest first, and whether more follow.

    Raises AppError 422 `unknown_cursor` when no user has the id `last_id`.
    """
    found = await repository.list_users(session, last_id=last_id, limit=limit + 1)
    if not found and last_id is not None and await repository.find_user(session, last_id) is None:
        raise unknown_cursor()
    page, more = cut(found, limit)
    return [UserRead.model_validate(user) for user in page], more
