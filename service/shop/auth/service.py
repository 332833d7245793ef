"""Logging in, staying logged in, logging out.

A login starts a family of refresh tokens, each of which can be used once, for the next one. One that comes
back after its use was copied: whoever holds which copy, the family is revoked (RFC 9700, 4.14.2). A request
that was already in when another one used the same token is its twin, not a later copy: it gets 409 and
nothing else, and the family lives on with the tokens of the one that won.

Whatever renews or ends a session locks its user's row first: an end that waits for a renewal sees the token
which that one adds, and a renewal that waits for an end finds its token revoked.
"""

import time
import uuid

import structlog
import uuid_utils.compat
from sqlalchemy.ext.asyncio import AsyncConnection

from shop.auth import repository
from shop.auth.errors import unauthorized
from shop.auth.schemas import TokenRead
from shop.auth.throttle import LoginThrottle, RefreshThrottle
from shop.auth.tokens import InvalidToken, Token, Tokens
from shop.core.database import Resources
from shop.core.errors import AppError
from shop.core.passwords import Passwords
from shop.core.session import session_on
from shop.core.transactions import in_transaction
from shop.users import service as users

log = structlog.get_logger("shop.auth")


class AuthService:
    """What the addresses under /api/v1/auth do."""

    def __init__(
        self,
        resources: Resources,
        tokens: Tokens,
        passwords: Passwords,
        throttle: LoginThrottle,
        refreshes: RefreshThrottle,
    ) -> None:
        self._resources = resources
        self._tokens = tokens
        self._passwords = passwords
        self._throttle = throttle
        self._refreshes = refreshes

    async def login(self, email: str, password: str, address: str | None) -> TokenRead:
        """Tokens of a new family for the user with this address and password, asked from network `address`.

        Raises AppError 401 without saying what is wrong, 429 `too_many_logins`, and 503 `passwords_busy`.
        """
        counts = self._throttle.counts(email, address)
        await self._throttle.admit(counts)
        async with session_on(self._resources.reads) as session:
            identity = await users.find_identity(session, email)
        # Asked again when the turn to hash has come: of a thousand at once, most were refused by then.
        valid, rehashed = await self._passwords.verify(
            password, identity.hashed_password if identity else None, lambda: self._throttle.admit(counts)
        )
        if identity is None or not valid or not identity.is_active:
            await self._throttle.count_failure(counts)
            log.info("login_failed", client=address, user_id=str(identity.user_id) if identity else None)
            raise unauthorized()
        family = uuid_utils.compat.uuid7()

        async def start(connection: AsyncConnection) -> TokenRead:
            if rehashed is not None:
                await users.replace_hash_in(connection, identity, rehashed)
            return await self._issue(connection, identity.user_id, identity.token_version, family)

        return await in_transaction(self._resources.writes, start)

    async def _issue(
        self, connection: AsyncConnection, user_id: uuid.UUID, token_version: int, family: uuid.UUID
    ) -> TokenRead:
        token_id = uuid_utils.compat.uuid7()
        seconds = self._tokens.seconds
        await repository.insert_token(connection, token_id, user_id, family, seconds["refresh"])
        return TokenRead(
            access_token=self._tokens.issue("access", user_id, token_version),
            refresh_token=self._tokens.issue("refresh", user_id, token_version, token_id),
            expires_in=seconds["access"],
        )

    async def refresh(self, refresh_token: str) -> TokenRead:
        """The next pair of tokens of the family.

        Raises AppError 401 when the token is not valid any more, with the family revoked if it was used
        before, 409 `refresh_raced` when another request used it while this one was in, and 429
        `too_many_refreshes`.
        """
        arrived = time.monotonic()
        token = self._read(refresh_token)
        await self._refreshes.admit(token.user_id)

        async def rotate(connection: AsyncConnection) -> TokenRead | AppError:
            role = await users.lock_role_in(connection, token.user_id, token.token_version)
            family = await repository.use_token(connection, token.token_id, token.user_id)
            if family is None:
                return await self._refuse(connection, token, arrived)
            if role is None:
                await repository.revoke_family(connection, family)
                return unauthorized()
            return await self._issue(connection, token.user_id, token.token_version, family)

        # Returned, not raised: what a refusal revokes has to be committed.
        answer = await in_transaction(self._resources.writes, rotate)
        if isinstance(answer, AppError):
            raise answer
        return answer

    async def _refuse(self, connection: AsyncConnection, token: Token, arrived: float) -> AppError:
        state = await repository.find_state(connection, token.token_id, token.user_id)
        if state is None or state.revoked_at is not None or state.seconds_since_use is None:
            return unauthorized()
        # The database's clock tells when the token was used, ours how long this request has been in:
        # two spans, compared, need no clock that both share.
        if state.seconds_since_use <= time.monotonic() - arrived:
            return AppError(
                409,
                "refresh_raced",
                "Another request is using this refresh token at this moment: go on with the tokens it gets.",
            )
        revoked = await repository.revoke_family(connection, state.family)
        log.warning("refresh_token_reused", user_id=str(token.user_id), tokens_revoked=revoked)
        return unauthorized()

    async def logout(self, refresh_token: str) -> None:
        """Revoke the token's family, even if the token itself was used or is over by now.

        Raises AppError 401 when it is no refresh token of ours.
        """
        token = self._read(refresh_token, even_expired=True)

        async def revoke(connection: AsyncConnection) -> None:
            await users.lock_role_in(connection, token.user_id, token.token_version)
            state = await repository.find_state(connection, token.token_id, token.user_id)
            if state is not None:
                await repository.revoke_family(connection, state.family)

        await in_transaction(self._resources.writes, revoke)

    def _read(self, refresh_token: str, *, even_expired: bool = False) -> Token:
        try:
            return self._tokens.read("refresh", refresh_token, even_expired=even_expired)
        except InvalidToken as refusal:
            log.info("token_refused", reason=str(refusal))
            raise unauthorized() from None
