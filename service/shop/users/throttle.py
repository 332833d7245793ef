"""The limit of registrations: each costs a hash and a row, and nobody has proved who they are."""

from shop.core.cache.link import Link
from shop.core.limits import Count, Limiter, network_of


class RegistrationThrottle:
    """Counts the registrations from each network."""

    def __init__(self, per_minute: int, link: Link) -> None:
        self._limiter = Limiter("registration", link)
        self._limit = self._limiter.per_minute(per_minute)

    async def admit(self, address: str | None) -> None:
        """Count one from this address. Raises AppError 429 `too_many_registrations`."""
        counts: list[Count] = [(self._limit, "network", network_of(address))] if address else []
        sentence = "Too many users were registered from this network."
        await self._limiter.admit(counts, "too_many_registrations", sentence)
        await self._limiter.add(counts)
