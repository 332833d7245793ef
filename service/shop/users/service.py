"""What one can do with users, and what other domains may know of them."""

import unicodedata
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import uuid_utils.compat
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shop.core.errors import AppError
from shop.core.pagination import cut
from shop.core.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD, Passwords
from shop.core.transactions import in_transaction, reading
from shop.users import repository
from shop.users.schemas import CreateUserRequest, ProfileResponse

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
    engine: AsyncEngine,
    passwords: Passwords,
    *,
    email: str,
    password: str,
    name: str,
    avatar: str | None = None,
    role: Role = "user",
) -> ProfileResponse:
    """Add an active user; `engine` is Resources.writes, `passwords` is Passwords.of(settings).

    Raises AppError 422 `invalid_user` whose `details` list what is wrong with the values, ConstraintError
    `uq_users_email` when the address is taken, and AppError 503 as in_transaction and Passwords.hash do.
    """
    try:
        checked = CreateUserRequest.model_validate(
            {"email": email, "password": password, "name": name, "avatar": avatar}
        )
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        details = [
            {"location": [str(part) for part in fault["loc"]], "code": fault["type"], "message": fault["msg"]}
            for fault in faults
        ]
        sentence = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in faults)
        message = f"The user cannot be created. {sentence}."
        raise AppError(422, "invalid_user", message, details=details) from None
    hashed = await passwords.hash(checked.password.get_secret_value())
    values = {
        "id": uuid_utils.compat.uuid7(),
        "email": checked.email,
        "hashed_password": hashed,
        "name": checked.name,
        "avatar": checked.avatar,
        "role": role,
    }

    async def add(connection: AsyncConnection) -> ProfileResponse:
        return ProfileResponse.model_validate(await repository.insert_user(connection, values))

    return await in_transaction(engine, add)


def normalise_email(email: str) -> str:
    """The one form of an address: no space around it, compatibility characters resolved, lower case."""
    return unicodedata.normalize("NFKC", email).strip().lower()


async def find_identity(engine: AsyncEngine, email: str) -> Identity | None:
    """The user with this address, however it is written; None when nobody has it."""
    normalised = normalise_email(email)
    if not normalised.isascii() or "\x00" in normalised:
        return None
    async with reading(engine) as connection:
        row = await repository.find_by_email(connection, normalised)
    if row is None:
        return None
    return Identity(row.id, row.hashed_password, row.role, row.is_active, row.token_version)


def _role(role: str | None) -> Role | None:
    return "admin" if role == "admin" else "user" if role == "user" else None


async def find_role(engine: AsyncEngine, user_id: uuid.UUID, token_version: int) -> Role | None:
    """The role of the user, None when they are disabled or gone or their tokens have another version now."""
    async with reading(engine) as connection:
        return _role(await repository.find_standing(connection, user_id, token_version))


async def lock_role_in(connection: AsyncConnection, user_id: uuid.UUID, token_version: int) -> Role | None:
    """The same; until the transaction ends nobody else who locks it renews or ends a session of the user."""
    row = await repository.lock_standing(connection, user_id)
    if row is None or not row.is_active or row.token_version != token_version:
        return None
    return _role(row.role)


async def replace_hash_in(connection: AsyncConnection, identity: Identity, hashed: str) -> None:
    """Store a hash with today's parameters, unless the password has changed meanwhile."""
    await repository.replace_hash(connection, identity.user_id, identity.hashed_password, hashed)


def not_found(user_id: uuid.UUID) -> AppError:
    """The 404 of a user who does not exist and of one whom the asking user may not see."""
    return AppError(404, "user_not_found", f"No user with the id {user_id} is known to you.")


async def get_profile(engine: AsyncEngine, user_id: uuid.UUID) -> ProfileResponse:
    """The user with this id. Raises AppError 404 `user_not_found`."""
    async with reading(engine) as connection:
        row = await repository.find_profile(connection, user_id)
    if row is None:
        raise not_found(user_id)
    return ProfileResponse.model_validate(row)


async def update_profile(
    engine: AsyncEngine,
    user_id: uuid.UUID,
    changes: Mapping[str, object],
    require_version: Callable[[int], None],
) -> ProfileResponse:
    """Change `name` or `avatar` of a user.

    `require_version` is given the version that is about to change, and raises to prevent it.
    Raises AppError 404 `user_not_found`.
    """

    async def change(connection: AsyncConnection) -> ProfileResponse:
        row = await repository.find_profile(connection, user_id, locked=True)
        if row is None:
            raise not_found(user_id)
        require_version(row.version)
        return ProfileResponse.model_validate(await repository.update_profile(connection, user_id, changes))

    return await in_transaction(engine, change)


async def administer(
    engine: AsyncEngine,
    passwords: Passwords,
    email: str,
    *,
    is_active: bool | None = None,
    role: Role | None = None,
    password: str | None = None,
) -> ProfileResponse | None:
    """Change what an operator may of a user, and end all their sessions; None when nobody has the address.

    Raises AppError 422 `invalid_user` for a password of fewer than 8 or more than 256 characters.
    """
    if password is not None and not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        bounds = f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
        raise AppError(422, "invalid_user", f"The password needs {bounds}.")
    hashed = None if password is None else await passwords.hash(password)
    wanted = {"is_active": is_active, "role": role, "hashed_password": hashed}
    changes = {name: value for name, value in wanted.items() if value is not None}

    async def change(connection: AsyncConnection) -> ProfileResponse | None:
        row = await repository.administer(connection, normalise_email(email), changes)
        return ProfileResponse.model_validate(row) if row is not None else None

    return await in_transaction(engine, change)


async def list_profiles(
    engine: AsyncEngine, *, last_id: uuid.UUID | None, limit: int
) -> tuple[list[ProfileResponse], bool]:
    """At most `limit` users who came before `last_id`, newest first, and whether more follow.

    Raises AppError 422 `unknown_cursor` when no user has the id `last_id`.
    """
    async with reading(engine) as connection:
        rows = await repository.list_profiles(connection, last_id=last_id, limit=limit + 1)
        if not rows and last_id is not None and await repository.find_profile(connection, last_id) is None:
            message = "last_id names no user: take it from the next of a page."
            raise AppError(422, "unknown_cursor", message)
    page, more = cut(rows, limit)
    return [ProfileResponse.model_validate(row) for row in page], more
