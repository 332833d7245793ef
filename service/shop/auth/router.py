"""`/api/v1/auth`: tokens for a password, the next tokens, no more tokens."""

import uuid
from typing import Annotated

from fastapi import Form, Response
from starlette.requests import Request

from shop.auth.authenticator import BearerAuthenticator
from shop.auth.schemas import LoginForm, RefreshTokenUse, TokenRead
from shop.auth.service import AuthService
from shop.auth.throttle import LoginThrottle, RefreshThrottle
from shop.auth.tokens import Tokens
from shop.core.cache import RedisCache
from shop.core.container import Container, container_of
from shop.core.database import Resources
from shop.core.passwords import Passwords
from shop.core.principal import LOGIN_PATH
from shop.core.routing import api_router, problems
from shop.core.session import session_on
from shop.settings import Settings
from shop.users import service as users

# RFC 6749, 5.1: no cache may keep tokens.
NOT_STORED = {"Cache-Control": "no-store"}

router = api_router(LOGIN_PATH.rpartition("/")[0], "auth", 401, 503)


def start(container: Container) -> None:
    """Put what proves who is asking into the container."""
    settings, resources = container.get(Settings), container.get(Resources)
    link, tokens = container.get(RedisCache).link, Tokens(settings)

    async def find_role(user_id: uuid.UUID, token_version: int) -> users.Role | None:
        async with session_on(resources.reads) as session:
            return await users.find_role(session, user_id, token_version)

    throttle = LoginThrottle(settings.login_attempts_per_minute, link)
    passwords = container.get(Passwords)
    container.put(BearerAuthenticator(tokens, find_role))
    container.put(AuthService(resources, tokens, passwords, throttle, RefreshThrottle(link)))


@router.post("/login", responses=problems(429))
async def login(request: Request, response: Response, form: Annotated[LoginForm, Form()]) -> TokenRead:
    """Tokens for the email address (as `username`) and the password of a user."""
    response.headers.update(NOT_STORED)
    address = request.client.host if request.client else None
    auth = container_of(request).get(AuthService)
    return await auth.login(form.username, form.password.get_secret_value(), address)


@router.post("/refresh", responses=problems(409, 429))
async def refresh(request: Request, response: Response, body: RefreshTokenUse) -> TokenRead:
    """The next tokens for a refresh token, which can be used once. Used again later, it ends the session."""
    response.headers.update(NOT_STORED)
    return await container_of(request).get(AuthService).refresh(body.refresh_token)


@router.post("/logout", status_code=204)
async def logout(request: Request, body: RefreshTokenUse) -> None:
    """End the session of a refresh token. The access token lives on until it expires."""
    await container_of(request).get(AuthService).logout(body.refresh_token)
