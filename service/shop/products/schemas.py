"""What a client reads about products. A price is a decimal string, such as "19.90": never a float."""

import uuid
from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict


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


class CategoryRead(BaseModel):
    """A category: how many products are for sale in it, and how many of those are in stock."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    products: int
    in_stock: int


class CategoryList(BaseModel):
    """All categories, by name."""

    items: list[CategoryRead]
