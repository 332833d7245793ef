"""`/api/v1/users`: who may log in."""

import uuid
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from shop.core.cache import RedisCache
from shop.core.container import Container, container_of
from shop.core.etag import IfMatch, fresh, header, stamp
from shop.core.pagination import DEFAULT_LIMIT, LastId, Limit, following_page, linked
from shop.core.passwords import Passwords
from shop.core.principal import SCHEME, AdminUser, Authenticator, CurrentUser, current_admin
from shop.core.routing import NOT_MODIFIED, api_router, problems
from shop.core.session import Database
from shop.settings import Settings
from shop.users import service
from shop.users.errors import user_not_found
from shop.users.schemas import UserCreate, UserPage, UserRead, UserUpdate
from shop.users.throttle import RegistrationThrottle

PATH = "/api/v1/users"
IF_NONE_MATCH = {"parameters": [header("If-None-Match", "the ETag of the profile the client has")]}

router = api_router(PATH, "users", 503)


def start(container: Container) -> None:
    """Put what counts registrations into the container."""
    limit = container.get(Settings).registrations_per_minute
    container.put(RegistrationThrottle(limit, container.get(RedisCache).link))


async def may_register(request: Request, _: Annotated[str | None, Depends(SCHEME)]) -> None:
    """Let anyone through, or admins only: as the settings say. Raises AppError 401, 403 and 429."""
    container = container_of(request)
    if container.get(Settings).registration == "admin":
        await current_admin(await container.get(Authenticator).authenticate(request))
    else:
        await container.get(RegistrationThrottle).admit(request.client.host if request.client else None)


@router.post("", status_code=201, responses=problems(403, 409, 429), dependencies=[Depends(may_register)])
async def create_user(request: Request, response: Response, session: Database, body: UserCreate) -> UserRead:
    """Register a user. Whether this takes an admin is the operator's choice."""
    user = await service.create_user(
        session,
        container_of(request).get(Passwords),
        email=body.email,
        password=body.password.get_secret_value(),
        name=body.name,
        avatar=body.avatar,
    )
    stamp(response, user)
    response.headers["Location"] = f"{PATH}/{user.id}"
    return user


@router.get("", responses=problems(403))
async def list_users(
    response: Response, session: Database, _: AdminUser, last_id: LastId = None, limit: Limit = DEFAULT_LIMIT
) -> UserPage:
    """All users, newest first, a page at a time, for admins; follow `next` or the Link header."""
    items, more = await service.list_users(session, last_id=last_id, limit=limit)
    following = following_page(PATH, items[-1].id, limit) if more else None
    return UserPage(items=items, next=linked(response, following))


@router.get("/me", response_model=UserRead, responses=NOT_MODIFIED, openapi_extra=IF_NONE_MATCH)
async def get_own_profile(
    request: Request, response: Response, session: Database, principal: CurrentUser
) -> UserRead | Response:
    """The profile of the user who asks."""
    return fresh(request, response, await service.get_user(session, principal.user_id))


@router.patch("/me", responses=problems(412))
async def update_own_profile(
    response: Response, session: Database, principal: CurrentUser, changes: UserUpdate, if_match: IfMatch
) -> UserRead:
    """Change the name or the avatar of the user who asks; with If-Match only if nothing changed meanwhile."""
    user = await service.update_user(session, principal.user_id, changes, if_match)
    stamp(response, user)
    return user


@router.get(
    "/{user_id}",
    response_model=UserRead,
    responses=NOT_MODIFIED | problems(404),
    openapi_extra=IF_NONE_MATCH,
)
async def get_user(
    request: Request, response: Response, session: Database, principal: CurrentUser, user_id: uuid.UUID
) -> UserRead | Response:
    """One user: oneself, or anyone for an admin."""
    if principal.role != "admin" and principal.user_id != user_id:
        raise user_not_found(user_id)
    return fresh(request, response, await service.get_user(session, user_id))
