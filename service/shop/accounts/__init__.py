"""Accounts: who orders, and who may order for whom."""

from shop.accounts import demo
from shop.accounts.models import Account, AccountMember
from shop.accounts.router import router
from shop.core.domain import Domain

DOMAIN = Domain(
    name="accounts",
    about="Who pays: a user owns accounts, and shares them with members.",
    router=router,
    models=(Account, AccountMember),
    seed=demo.seed,
)
