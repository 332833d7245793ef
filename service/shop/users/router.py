"""`/api/v1/users`: who may log in."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header
from starlette.requests import Request
from starlette.responses import Response

from shop.core.cache import RedisCache
from shop.core.database import resources_of
from shop.core.errors import Problem
from shop.core.etag import conditional, header, require_match, version_tag
from shop.core.json_body import JSONRoute
from shop.core.pagination import DEFAULT_LIMIT, LastId, Limit, following_page, link_headers
from shop.core.passwords import Passwords
from shop.core.principal import SCHEME, AdminUser, Authenticator, CurrentUser, current_admin
from shop.settings import Settings
from shop.users import service
from shop.users.schemas import CreateUserRequest, ProfileResponse, UpdateProfileRequest, UserPage
from shop.users.throttle import RegistrationThrottle

PATH = "/api/v1/users"

router = APIRouter(prefix=PATH, tags=["users"], route_class=JSONRoute, responses={503: {"model": Problem}})

IfMatch = Annotated[str | None, Header(description="the ETag of the profile as it was read")]


def install_registration(app: FastAPI, settings: Settings, cache: RedisCache) -> None:
    """Put into the state of `app` what says who may register, and how often."""
    app.state.registration = settings.registration
    app.state.registrations = RegistrationThrottle(settings.registrations_per_minute, cache.link)


async def may_register(request: Request, _: Annotated[str | None, Depends(SCHEME)]) -> None:
    """Let anyone through, or admins only: as the settings say. Raises AppError 401, 403 and 429."""
    if request.app.state.registration == "admin":
        authenticator: Authenticator = request.app.state.authenticator
        await current_admin(await authenticator.authenticate(request))
    else:
        throttle: RegistrationThrottle = request.app.state.registrations
        await throttle.admit(request.client.host if request.client else None)


def _profile(profile: ProfileResponse, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        profile.model_dump_json(),
        status,
        headers={
            "ETag": version_tag(profile.version),
            "Cache-Control": "private, no-cache",
            **(headers or {}),
        },
        media_type="application/json",
    )


IF_NONE_MATCH = {"parameters": [header("If-None-Match", "the ETag of the profile the client has")]}
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "If-None-Match names the present ETag; no body."}
}


def _read(request: Request, profile: ProfileResponse) -> Response:
    tag = version_tag(profile.version)
    return conditional(request, profile.model_dump_json(), tag, {"Cache-Control": "private, no-cache"})


@router.post(
    "",
    status_code=201,
    response_model=ProfileResponse,
    responses={status: {"model": Problem} for status in (403, 409, 429)},
    dependencies=[Depends(may_register)],
)
async def create_user(request: Request, body: CreateUserRequest) -> Response:
    """Register a user. Whether this takes an admin is the operator's choice."""
    passwords: Passwords = request.app.state.passwords
    profile = await service.create_user(
        resources_of(request).writes,
        passwords,
        email=body.email,
        password=body.password.get_secret_value(),
        name=body.name,
        avatar=body.avatar,
    )
    return _profile(profile, 201, {"Location": f"{PATH}/{profile.id}"})


@router.get("", response_model=UserPage, responses={403: {"model": Problem}})
async def list_users(
    request: Request, _: AdminUser, last_id: LastId = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """All users, newest first, a page at a time, for admins; follow `next` or the Link header."""
    items, more = await service.list_profiles(resources_of(request).reads, last_id=last_id, limit=limit)
    following = following_page(PATH, items[-1].id, limit) if more else None
    body = UserPage.model_construct(items=items, next=following).model_dump_json()
    return Response(body, media_type="application/json", headers=link_headers(following))


@router.get("/me", response_model=ProfileResponse, responses=NOT_MODIFIED, openapi_extra=IF_NONE_MATCH)
async def get_own_profile(request: Request, user: CurrentUser) -> Response:
    """The profile of the user who asks."""
    return _read(request, await service.get_profile(resources_of(request).reads, user.user_id))


@router.patch("/me", response_model=ProfileResponse, responses={412: {"model": Problem}})
async def update_own_profile(
    request: Request, user: CurrentUser, body: UpdateProfileRequest, if_match: IfMatch = None
) -> Response:
    """Change the name or the avatar of the user who asks; with If-Match only if nothing changed meanwhile."""
    profile = await service.update_profile(
        resources_of(request).writes,
        user.user_id,
        body.model_dump(exclude_unset=True),
        lambda version: require_match(request, version),
    )
    return _profile(profile)


@router.get(
    "/{user_id}",
    response_model=ProfileResponse,
    responses=NOT_MODIFIED | {404: {"model": Problem}},
    openapi_extra=IF_NONE_MATCH,
)
async def get_user(request: Request, user: CurrentUser, user_id: uuid.UUID) -> Response:
    """One user: oneself, or anyone for an admin."""
    if user.role != "admin" and user.user_id != user_id:
        raise service.not_found(user_id)
    return _read(request, await service.get_profile(resources_of(request).reads, user_id))
