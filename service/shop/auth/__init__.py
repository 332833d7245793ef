"""Authentication: what proves who is asking."""

from shop.auth import router
from shop.auth.models import RefreshToken
from shop.core.domain import Domain

DOMAIN = Domain(
    name="auth",
    about="Tokens: log in, refresh, log out.",
    router=router.router,
    models=(RefreshToken,),
    # A token that is over is refused by its own date.
    purged={"refresh_tokens": "expires_at < now()"},
    start=router.start,
)
