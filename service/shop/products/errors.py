"""What a client is told of products, and what products say of their constraints in the database."""

import uuid

from shop.core.errors import AppError, Constraints
from shop.products.schemas import LARGEST_STOCK

CONSTRAINTS: Constraints = {
    "uq_products_sku": (409, "sku_taken", "Another product has this SKU."),
}


def not_for_sale(product_id: uuid.UUID) -> AppError:
    """404: no product for sale has this id."""
    return AppError(404, "product_not_found", f"No product with the id {product_id} is for sale.")


def product_not_found(product_id: uuid.UUID) -> AppError:
    """404: no product has this id."""
    return AppError(404, "product_not_found", f"There is no product with the id {product_id}.")


def stock_out_of_range(product_id: uuid.UUID, change_amount: int, stock: int | None) -> AppError:
    """409: the stock would leave its range; 404 when there is no such product, whose `stock` is None."""
    if stock is None:
        return product_not_found(product_id)
    if change_amount < 0:
        return AppError(
            409,
            "insufficient_stock",
            f"The stock is {stock}, so {-change_amount} cannot be taken from it: nothing was changed.",
            details={"product_id": str(product_id), "requested": -change_amount, "available": stock},
        )
    return AppError(
        409,
        "stock_too_large",
        f"The stock is {stock}, and {LARGEST_STOCK} is the most it can be: nothing was changed.",
        details={"product_id": str(product_id), "change_amount": change_amount, "available": stock},
    )
