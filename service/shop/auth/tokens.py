"""Tokens: JWTs (RFC 7519) signed with HS256, one type for access and one for refreshing."""

import hashlib
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import jwt
import uuid_utils.compat

from shop.settings import Settings

# RFC 8725, 3.1: what verifies a token is ours to say, never its header's.
ALGORITHMS = ("HS256",)
# The clocks of two hosts may be this many seconds apart.
LEEWAY = 10
# Ours have about 350 characters.
LONGEST_TOKEN = 2048
# PostgreSQL's integer.
LARGEST_VERSION = 2**31 - 1
# Access tokens that were verified; whether their user may still use them is asked elsewhere, each time.
MOST_KEPT = 10_000
CLAIMS = ("exp", "sub", "iat", "jti", "iss", "aud", "typ", "ver")

Kind = Literal["access", "refresh"]


class InvalidToken(Exception):
    """No valid token; the text is a reason for the log, never for the client."""


@dataclass(frozen=True)
class Token:
    """What a valid token says: whose it is, which one, and the token_version it was made for."""

    user_id: uuid.UUID
    token_id: uuid.UUID
    token_version: int


class Tokens:
    """Issues and reads tokens; one key signs, and what another one signed is accepted too."""

    def __init__(self, settings: Settings) -> None:
        other = settings.secret_key_previous
        self._key = settings.secret_key.get_secret_value()
        self._keys = [self._key] + ([other.get_secret_value()] if other else [])
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience
        self.seconds: dict[Kind, int] = {
            "access": settings.access_token_minutes * 60,
            "refresh": settings.refresh_token_days * 86_400,
        }
        # By digest, so that no token lies about in memory: what it says, and until when.
        self._kept: OrderedDict[bytes, tuple[Token, float]] = OrderedDict()

    def issue(
        self, kind: Kind, user_id: uuid.UUID, token_version: int, token_id: uuid.UUID | None = None
    ) -> str:
        """A token valid from now for `seconds[kind]`; `token_id` is a new one unless given."""
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "jti": str(token_id or uuid_utils.compat.uuid7()),
            "iat": now,
            "exp": now + self.seconds[kind],
            "typ": kind,
            "ver": token_version,
        }
        return jwt.encode(claims, self._key, ALGORITHMS[0])

    def read_access(self, token: str) -> Token:
        """`read` of an access token. One that was read before is not verified again while its time lasts."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        kept = self._kept.get(digest)
        if kept is not None and time.time() < kept[1]:
            self._kept.move_to_end(digest)
            return kept[0]
        self._kept.pop(digest, None)
        found, ends = self._read("access", token, even_expired=False)
        self._kept[digest] = (found, ends + LEEWAY)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return found

    def read(self, kind: Kind, token: str, *, even_expired: bool = False) -> Token:
        """What `token` says. Raises InvalidToken unless it is ours, of this kind and within its time."""
        return self._read(kind, token, even_expired)[0]

    def _read(self, kind: Kind, token: str, even_expired: bool) -> tuple[Token, float]:
        """The token, and the Unix time at which it ends."""
        if len(token) > LONGEST_TOKEN:
            raise InvalidToken("longer than any of ours")
        try:
            claims = self._decode(token, even_expired)
            if claims["typ"] != kind:
                raise InvalidToken(f"not a token of the type {kind}")
            version = claims["ver"]
            if type(version) is not int or not 0 < version <= LARGEST_VERSION:
                raise InvalidToken("malformed")
            return Token(uuid.UUID(claims["sub"]), uuid.UUID(claims["jti"]), version), float(claims["exp"])
        except jwt.PyJWTError as error:
            raise InvalidToken(type(error).__name__) from None
        except (ValueError, AttributeError, TypeError):
            # What PyJWT lets through of a hostile header or of claims with the wrong types.
            raise InvalidToken("malformed") from None

    def _decode(self, token: str, even_expired: bool) -> dict[str, Any]:
        for key in self._keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=ALGORITHMS,
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=LEEWAY,
                    options={"require": list(CLAIMS), "strict_aud": True, "verify_exp": not even_expired},
                )
            except jwt.InvalidSignatureError:
                continue
        raise InvalidToken("signed with no key of ours")
