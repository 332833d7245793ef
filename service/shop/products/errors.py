"""What products say of their constraints in the database."""

from shop.core.errors import Constraints

CONSTRAINTS: Constraints = {
    "uq_products_sku": (409, "sku_taken", "Another product has this SKU."),
}
