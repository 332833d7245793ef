"""`/api/v1/auth`: tokens for a password, the next tokens, no more tokens."""

import uuid
from typing import Annotated

from fastapi import APIRouter, FastAPI, Form, Response
from starlette.requests import Request

from shop.auth.authenticator import BearerAuthenticator
from shop.auth.schemas import LoginForm, RefreshRequest, TokenResponse
from shop.auth.service import AuthService
from shop.auth.throttle import LoginThrottle, RefreshThrottle
from shop.auth.tokens import Tokens
from shop.core.cache import RedisCache
from shop.core.database import Resources
from shop.core.errors import Problem
from shop.core.json_body import JSONRoute
from shop.core.passwords import Passwords
from shop.core.principal import LOGIN_PATH
from shop.settings import Settings
from shop.users import service as users

# RFC 6749, 5.1: no cache may keep tokens.
NOT_STORED = {"Cache-Control": "no-store"}

router = APIRouter(
    prefix=LOGIN_PATH.rpartition("/")[0],
    tags=["auth"],
    route_class=JSONRoute,
    responses={401: {"model": Problem}, 503: {"model": Problem}},
)


def install_auth(app: FastAPI, settings: Settings, resources: Resources, cache: RedisCache) -> None:
    """Put into the state of `app` what proves who is asking."""
    tokens, passwords = Tokens(settings), Passwords.of(settings)

    async def find_role(user_id: uuid.UUID, token_version: int) -> users.Role | None:
        return await users.find_role(resources.reads, user_id, token_version)

    throttle = LoginThrottle(settings.login_attempts_per_minute, cache.link)
    app.state.passwords = passwords
    app.state.authenticator = BearerAuthenticator(tokens, find_role)
    app.state.auth = AuthService(resources, tokens, passwords, throttle, RefreshThrottle(cache.link))


def _service(request: Request) -> AuthService:
    service: AuthService = request.app.state.auth
    return service


def _tokens(tokens: TokenResponse) -> Response:
    return Response(tokens.model_dump_json(), media_type="application/json", headers=NOT_STORED)


@router.post("/login", response_model=TokenResponse, responses={429: {"model": Problem}})
async def login(request: Request, form: Annotated[LoginForm, Form()]) -> Response:
    """Tokens for the email address (as `username`) and the password of a user."""
    address = request.client.host if request.client else None
    tokens = await _service(request).login(form.username, form.password.get_secret_value(), address)
    return _tokens(tokens)


@router.post(
    "/refresh", response_model=TokenResponse, responses={status: {"model": Problem} for status in (409, 429)}
)
async def refresh(request: Request, body: RefreshRequest) -> Response:
    """The next tokens for a refresh token, which can be used once. Used again later, it ends the session."""
    return _tokens(await _service(request).refresh(body.refresh_token))


@router.post("/logout", status_code=204)
async def logout(request: Request, body: RefreshRequest) -> None:
    """End the session of a refresh token. The access token lives on until it expires."""
    await _service(request).logout(body.refresh_token)
