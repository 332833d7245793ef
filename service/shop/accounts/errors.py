"""What a client is told when an account is not as its request needs it."""

import uuid

from shop.core.errors import AppError


def account_not_found(account_id: uuid.UUID) -> AppError:
    """404, the same for an account that does not exist and for one of others: ids of others stay unknown."""
    return AppError(404, "account_not_found", f"You are a member of no account with the id {account_id}.")


def owner_only() -> AppError:
    """403, for a member: they see the account, so there is nothing to hide."""
    return AppError(403, "account_owner_only", "Only the owner may change this account.")


def account_closed() -> AppError:
    """409: nothing happens on a closed account any more."""
    return AppError(409, "account_closed", "This account is closed, and a closed account stays as it is.")


def account_of_other_currency(currency: str) -> AppError:
    """409: prices have no other currency, and are not the customer's to convert."""
    return AppError(
        409, "currency_not_sold", f"This shop sells in {currency} alone: order on an account in {currency}."
    )


def account_suspended() -> AppError:
    """409: no new orders until the owner makes the account active again."""
    return AppError(
        409, "account_suspended", "This account is suspended: its owner has to make it active to order again."
    )


def no_active_account() -> AppError:
    """409: the caller names no account and has none that could be meant."""
    return AppError(
        409,
        "no_active_account",
        "You have no active account to order on: create one with POST /api/v1/accounts.",
    )
