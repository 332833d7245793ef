"""The limits of failed logins, and of refreshes.

Failures are counted for an account from one network, which is how a person mistypes; and, more widely, for an
account from anywhere and for a network whatever account it tries, which is how passwords are guessed. So one
stranger locks an account for nobody else, and an office is not locked out by one colleague.
"""

import hashlib
import uuid
from collections.abc import Sequence

from shop.core.cache.link import Link
from shop.core.limits import Count, Limiter, network_of
from shop.users.service import normalise_email

# An account from anywhere, and a network, may fail so many times more often.
WIDER = 4
# A client refreshes twice an hour; a user has a few of them.
REFRESHES_PER_MINUTE = 30


class LoginThrottle:
    """Counts failed logins and says when there were too many."""

    def __init__(self, attempts_per_minute: int, link: Link) -> None:
        self._limiter = Limiter("login", link)
        self._narrow = self._limiter.per_minute(attempts_per_minute)
        self._wide = self._limiter.per_minute(attempts_per_minute * WIDER)

    def counts(self, email: str, address: str | None) -> list[Count]:
        """What a login with these is counted under; without an address, under the account alone."""
        # Hashed: what is typed into the field of a name may be a password, and may be long.
        account = hashlib.sha256(normalise_email(email).encode("utf-8", "replace")).hexdigest()
        if not address:
            return [(self._narrow, "account", account)]
        network = network_of(address)
        return [
            (self._narrow, "account-network", f"{account}-{network}"),
            (self._wide, "account", account),
            (self._wide, "network", network),
        ]

    async def admit(self, counts: Sequence[Count]) -> None:
        """Let a login be tried. Raises AppError 429 `too_many_logins` when one of `counts` is full."""
        sentence = "Too many logins failed for this account or from this network."
        await self._limiter.admit(counts, "too_many_logins", sentence)

    async def count_failure(self, counts: Sequence[Count]) -> None:
        """Remember that a login failed."""
        await self._limiter.add(counts)


class RefreshThrottle:
    """Counts each user's refreshes: every one of them is a row."""

    def __init__(self, link: Link) -> None:
        self._limiter = Limiter("refresh", link)
        self._limit = self._limiter.per_minute(REFRESHES_PER_MINUTE)

    async def admit(self, user_id: uuid.UUID) -> None:
        """Count a refresh of this user. Raises AppError 429 `too_many_refreshes`."""
        counts: list[Count] = [(self._limit, "user", str(user_id))]
        await self._limiter.admit(counts, "too_many_refreshes", "This user's tokens were renewed too often.")
        await self._limiter.add(counts)
