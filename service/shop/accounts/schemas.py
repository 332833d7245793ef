"""What a client sends and reads about accounts."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shop.core.changes import Changes, unchanged

Status = Literal["active", "suspended", "closed"]
# Text on one line: no control characters, and NUL among them is what PostgreSQL cannot keep.
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(examples=["Household"]),
]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(examples=["EUR"])]


class AccountRead(BaseModel):
    """One account. `version` rises with every change; the ETag carries it."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    owner_id: uuid.UUID
    name: str
    currency: str
    status: Status
    version: int
    created_at: datetime
    updated_at: datetime


class AccountCreate(BaseModel):
    """A new account. Its currency (ISO 4217) is the shop's; to name it is to make sure of it."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    currency: Currency | None = None


class AccountUpdate(Changes):
    """What changes of an account."""

    name: Name = unchanged()
    status: Status = unchanged()


class AccountPage(BaseModel):
    """Accounts, newest first; `next` is the address of the following page, null on the last one."""

    items: list[AccountRead]
    next: str | None
