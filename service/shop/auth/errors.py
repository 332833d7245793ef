"""The one answer to whoever has not proved who they are."""

from shop.core.errors import AppError

CHALLENGE = {"WWW-Authenticate": "Bearer"}
MESSAGE = "The credentials of this request are missing, wrong or no longer valid: log in again."


def unauthorized() -> AppError:
    """The 401 of every reason: its text tells an attacker nothing about which one it is."""
    return AppError(401, "unauthorized", MESSAGE, headers=CHALLENGE)
