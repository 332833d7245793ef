"""The domains of this service, one line each. To delete one, delete its folder and its line."""

from importlib import import_module

from shop.core.domain import Domain

# Each may build on those above it, and none on those below.
NAMES = (
    "users",
    "auth",
    "accounts",
    "products",
    "orders",
)
DOMAINS: tuple[Domain, ...] = tuple(import_module(f"shop.{name}").DOMAIN for name in NAMES)
