"""Who is asking: the principal of a request, and the dependencies that demand one."""

import uuid
from dataclasses import dataclass
from typing import Annotated, Literal

import structlog
from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer
from starlette.requests import Request

from shop.core.container import container_of
from shop.core.errors import AppError

LOGIN_PATH = "/api/v1/auth/login"
# The scheme only documents: the authenticator reads the header itself, and answers in the one error shape.
SCHEME = OAuth2PasswordBearer(LOGIN_PATH, auto_error=False)


@dataclass(frozen=True)
class Principal:
    """A user who proved who they are."""

    user_id: uuid.UUID
    role: Literal["user", "admin"]


class Authenticator:
    """What proves who is asking: the domain auth puts its own into the container, so that core knows none."""

    async def authenticate(self, request: Request) -> Principal:
        """The principal of `request`. Raises AppError 401, always with the same text."""
        raise NotImplementedError


async def current_user(request: Request, _: Annotated[str | None, Depends(SCHEME)]) -> Principal:
    """The principal of the request; no other value of the request says who is asking."""
    principal = await container_of(request).get(Authenticator).authenticate(request)
    # Every line of the request names the user, and never more of a person than this id.
    request.state.user_id = str(principal.user_id)
    structlog.contextvars.bind_contextvars(user_id=request.state.user_id)
    return principal


CurrentUser = Annotated[Principal, Depends(current_user)]


async def current_admin(principal: CurrentUser) -> Principal:
    """The principal, who must be an admin. Raises AppError 403."""
    if principal.role != "admin":
        raise AppError(403, "admin_only", "Only an admin may do this.")
    return principal


async def require_admin(request: Request) -> Principal:
    """The admin who asks, for what is public but for one part. Raises AppError 401 or 403."""
    return await current_admin(await current_user(request, None))


AdminUser = Annotated[Principal, Depends(current_admin)]
