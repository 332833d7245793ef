"""Who is asking: the access token of a request, and whether its user may still use it."""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog
from starlette.requests import Request

from shop.auth.errors import unauthorized
from shop.auth.tokens import InvalidToken, Tokens
from shop.core.principal import Authenticator, Principal
from shop.users.service import Role

# A disabled user keeps access for this many seconds at most.
STANDING_SECONDS = 30.0
MOST_STANDINGS = 10_000

# The role of an active user with this id and token_version, None when there is none.
FindRole = Callable[[uuid.UUID, int], Awaitable[Role | None]]

log = structlog.get_logger("shop.auth")


class Standings:
    """The roles found, by user and token_version, each for 30 s; the least recently used goes first.

    Those who ask for the same one while it is looked up wait for the one query.
    """

    def __init__(self, find_role: FindRole) -> None:
        self._find_role = find_role
        self._known: OrderedDict[tuple[uuid.UUID, int], tuple[float, Role | None]] = OrderedDict()
        self._asked: dict[tuple[uuid.UUID, int], asyncio.Task[Role | None]] = {}

    async def role(self, user_id: uuid.UUID, token_version: int) -> Role | None:
        """The role, at most 30 s old. Raises what the look-up raises."""
        key = (user_id, token_version)
        known = self._known.get(key)
        if known is not None and known[0] > monotonic():
            self._known.move_to_end(key)
            return known[1]
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._look_up(key))
        # The look-up is everybody's: one who goes away must not take it with them.
        return await asyncio.shield(task)

    async def _look_up(self, key: tuple[uuid.UUID, int]) -> Role | None:
        try:
            # Counted from before the query: what it reads may change right after.
            until = monotonic() + STANDING_SECONDS
            role = await self._find_role(*key)
            self._known[key] = (until, role)
            self._known.move_to_end(key)
            if len(self._known) > MOST_STANDINGS:
                self._known.popitem(last=False)
            return role
        finally:
            del self._asked[key]


class BearerAuthenticator(Authenticator):
    """The authenticator of shop.core.principal, for access tokens in the Authorization header (RFC 6750)."""

    def __init__(self, tokens: Tokens, find_role: FindRole) -> None:
        self._tokens = tokens
        self._standings = Standings(find_role)

    async def authenticate(self, request: Request) -> Principal:
        """The principal of `request`. Raises AppError 401, always with the same text, and 503."""
        try:
            token = self._tokens.read_access(_bearer(request))
            role = await self._standings.role(token.user_id, token.token_version)
            if role is None:
                raise InvalidToken("its user is disabled or has ended the session")
        except InvalidToken as refusal:
            client = request.client.host if request.client else None
            log.info("token_refused", reason=str(refusal), client=client)
            raise unauthorized() from None
        return Principal(token.user_id, role)


def _bearer(request: Request) -> str:
    headers = request.headers.getlist("authorization")
    if len(headers) != 1:
        raise InvalidToken("no Authorization header" if not headers else "more than one Authorization header")
    scheme, _, token = headers[0].partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("not a Bearer token")
    return token
