"""What a client says and reads about products. A price is a decimal string such as "19.90", never a float."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator

from shop.core.changes import Changes, unchanged

# The largest number of pieces: PostgreSQL's integer.
LARGEST_STOCK = 2**31 - 1
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"


def _not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("A change by 0 is no change.")
    return value


Sku = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=["hammer-1"])]
Name = Annotated[str, Field(max_length=200, pattern=PRINTABLE, examples=["Hammer"])]
Category = Annotated[str, Field(max_length=64, pattern=PRINTABLE, examples=["tools"])]
Price = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]{0,9})(\.[0-9]{1,2})?$",
        description="a decimal string, from 0 to 9999999999.99",
        examples=["19.90"],
    ),
]


class ProductRead(BaseModel):
    """One product."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    sku: str
    name: str
    category: str
    price: Decimal
    stock: int
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime


class ProductPage(BaseModel):
    """Products, newest first; `next` is the address of the following page, null on the last one."""

    items: list[ProductRead]
    next: str | None


class ProductCreate(BaseModel):
    """A new product. Pieces it starts with are its first restock."""

    model_config = ConfigDict(extra="forbid")

    sku: Sku
    name: Name
    category: Category
    price: Price
    stock: int = Field(0, ge=0, le=LARGEST_STOCK)
    is_active: StrictBool = True


class ProductUpdate(Changes):
    """What changes of a product. Its stock changes by amounts, elsewhere."""

    sku: Sku = unchanged()
    name: Name = unchanged()
    category: Category = unchanged()
    price: Price = unchanged()
    is_active: StrictBool = unchanged()


class StockChangeCreate(BaseModel):
    """Pieces that came in (above 0) or are gone (below 0, with the reason adjust)."""

    model_config = ConfigDict(
        extra="forbid",
        # What the validators below say, for those who read the schema.
        json_schema_extra={
            "anyOf": [
                {"properties": {"change_amount": {"minimum": 1}}},
                {"properties": {"change_amount": {"maximum": -1}, "reason": {"const": "adjust"}}},
            ]
        },
    )

    change_amount: Annotated[int, Field(ge=-LARGEST_STOCK, le=LARGEST_STOCK), AfterValidator(_not_zero)]
    reason: Literal["restock", "adjust"]

    @model_validator(mode="after")
    def _refuse_negative_restock(self) -> "StockChangeCreate":
        if self.reason == "restock" and self.change_amount < 0:
            raise ValueError("A restock brings pieces: take them away with the reason adjust.")
        return self


class StockChangeRead(BaseModel):
    """One change of a product's stock. `order_id` and `actor_id` say for what and by whom, if by either."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    product_id: uuid.UUID
    order_id: uuid.UUID | None
    change_amount: int
    balance_after: int
    reason: str
    actor_id: uuid.UUID | None
    created_at: datetime


class StockLogPage(BaseModel):
    """Changes of a product's stock, newest first; `next` is the address of the following page, if any."""

    items: list[StockChangeRead]
    next: str | None


class CategoryRead(BaseModel):
    """A category: how many products are for sale in it, and how many of those are in stock."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    products: int
    in_stock: int


class CategoryList(BaseModel):
    """All categories, by name."""

    items: list[CategoryRead]
