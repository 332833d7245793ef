"""What a client is told when an order is not placed or does not change."""

import uuid
from collections.abc import Sequence
from typing import Any

from shop.core.errors import AppError, Constraints

KEY_CONSTRAINT = "pk_idempotency_keys"
CONSTRAINTS: Constraints = {
    KEY_CONSTRAINT: (
        409,
        "idempotency_key_in_use",
        "Another request with this Idempotency-Key is just being answered: repeat this one shortly.",
    ),
}


def account_has_pending_orders() -> AppError:
    """409: an account is closed when nothing is open on it."""
    return AppError(
        409,
        "account_has_pending_orders",
        "This account has pending orders: pay or cancel them, then close it.",
    )


def order_not_found(order_id: uuid.UUID) -> AppError:
    """404: the account has no such order, whether or not another has."""
    return AppError(404, "order_not_found", f"This account has no order with the id {order_id}.")


def key_reused() -> AppError:
    """422, as the IETF draft of the Idempotency-Key header asks."""
    return AppError(
        422,
        "idempotency_key_reused",
        "This Idempotency-Key belongs to another request of this account: use a new key for a new order.",
    )


def not_for_sale(product_ids: Sequence[uuid.UUID]) -> AppError:
    """422: the order names products that nobody can buy."""
    return AppError(
        422,
        "product_not_for_sale",
        "Some of these products are not for sale, so nothing was ordered: leave out those in details.",
        details=[{"product_id": str(product_id)} for product_id in product_ids],
    )


def insufficient_stock(short: Sequence[dict[str, Any]]) -> AppError:
    """409: `short` has {product_id, requested, available} of every product there is too little of."""
    return AppError(
        409,
        "insufficient_stock",
        "There is too little in stock, so nothing was ordered: details lists what is short and what is left.",
        details=list(short),
    )


def out_of_range() -> AppError:
    """422: a sum that no column holds."""
    return AppError(
        422, "amount_too_large", "The order's total exceeds 999999999999.99: split it into several orders."
    )


def stock_out_of_range() -> AppError:
    """409: the pieces that would come back no longer fit into the count."""
    return AppError(
        409,
        "stock_out_of_range",
        "With what this order gives back a stock would exceed 2147483647 pieces: lower that stock first.",
    )


def illegal_transition(action: str, status: str, allowed: str) -> AppError:
    """409: an order only moves from pending, to paid or to cancelled."""
    return AppError(
        409,
        "illegal_transition",
        f"A {status} order cannot be {action}: only a {allowed} one can.",
        details={"status": status, "allowed_from": [allowed]},
    )
