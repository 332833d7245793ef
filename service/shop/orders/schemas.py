"""What a client sends and reads about orders. Money is a decimal string, such as "19.90"."""

import uuid
from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shop.accounts.service import AccountRead

LARGEST_QUANTITY = 2**31 - 1
MOST_ITEMS = 100

Status = Literal["pending", "paid", "shipped", "cancelled"]


class Line(BaseModel):
    """So many pieces of one product."""

    model_config = ConfigDict(extra="forbid")

    product_id: uuid.UUID
    quantity: Annotated[int, Field(strict=True, ge=1, le=LARGEST_QUANTITY)]


class OrderCreate(BaseModel):
    """A new order. A product named twice is ordered once, with the sum of its quantities."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[Line], Field(min_length=1, max_length=MOST_ITEMS)]

    @field_validator("items")
    @classmethod
    def _each_product_once(cls, items: list[Line]) -> list[Line]:
        """The lines summed by product and in the order of their ids: the order in which rows are locked."""
        quantities: Counter[uuid.UUID] = Counter()
        for line in items:
            quantities[line.product_id] += line.quantity
        for product_id, quantity in quantities.items():
            if quantity > LARGEST_QUANTITY:
                raise ValueError(f"the quantities of {product_id} add up to more than {LARGEST_QUANTITY}")
        return [
            Line.model_construct(product_id=product_id, quantity=quantity)
            for product_id, quantity in sorted(quantities.items())
        ]


class OrderItem(BaseModel):
    """One product of an order, at the price it had then."""

    product_id: uuid.UUID
    quantity: int
    unit_price: Decimal


class OrderSummary(BaseModel):
    """One order as lists show it. `total` is in `currency`."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    account_id: uuid.UUID
    created_by: uuid.UUID
    status: Status
    total: Decimal
    currency: str
    created_at: datetime
    updated_at: datetime


class OrderRead(OrderSummary):
    """One order with its items, by product id."""

    items: list[OrderItem]


class OrderPage(BaseModel):
    """Orders of an account, newest first; `next` is the address of the following page, null on the last."""

    account: AccountRead
    items: list[OrderSummary]
    next: str | None
