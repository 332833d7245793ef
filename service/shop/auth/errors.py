"""The one answer to whoever has not proved who they are."""

from shop.core.errors import AppError, standard_error

CHALLENGE = {"WWW-Authenticate": "Bearer"}


def unauthorized() -> AppError:
    """The 401 of every reason: its text tells an attacker nothing about which one it is."""
    return standard_error(401, CHALLENGE)
