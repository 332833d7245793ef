"""What a client says and reads about users."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from shop.core.changes import Changes, unchanged
from shop.core.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD

LONGEST_EMAIL = 254
# RFC 5321's mailbox without quoting, comments and address literals, in ASCII. Dots may follow each other:
# mobile operators gave out such addresses.
_CHARACTER = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LAST_LABEL = r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])"
EMAIL_PATTERN = rf"^{_CHARACTER}((\.|{_CHARACTER}){{0,62}}{_CHARACTER})?@({_LABEL}\.)+{_LAST_LABEL}$"
# Neither control characters nor those that turn the direction of what follows; no space at the ends.
_SHOWN = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff"
NAME_PATTERN = rf"^[^\s{_SHOWN}]([^{_SHOWN}]*[^\s{_SHOWN}])?$"
AVATAR_PATTERN = r"^https?://[!-~]+$"


Email = Annotated[
    str,
    Field(
        max_length=LONGEST_EMAIL,
        pattern=EMAIL_PATTERN,
        description="an email address in ASCII",
        examples=["ada@example.net"],
    ),
    AfterValidator(str.lower),
]
Name = Annotated[str, Field(min_length=1, max_length=50, pattern=NAME_PATTERN, examples=["Ada"])]
Avatar = Annotated[
    str, Field(max_length=2048, pattern=AVATAR_PATTERN, examples=["https://www.example.net/ada.png"])
]
Password = Annotated[
    SecretStr,
    Field(
        min_length=SHORTEST_PASSWORD,
        max_length=LONGEST_PASSWORD,
        # Said here, refused by the reader of JSON.
        json_schema_extra={"pattern": r"^[^\x00]*$"},
    ),
]


class UserCreate(BaseModel):
    """A new user. Plan and role are not the user's to choose: a field not listed here is refused."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Password
    name: Name
    avatar: Avatar | None = None


class UserUpdate(Changes):
    """What a user changes of their own profile. `avatar` null removes it."""

    name: Name = unchanged()
    avatar: Avatar | None = unchanged()


class UserRead(BaseModel):
    """One user, as the user and admins see them. Times are UTC."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    email: str
    name: str
    avatar: str | None
    plan: Literal["free", "pro"]
    role: Literal["user", "admin"]
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime


class UserPage(BaseModel):
    """Users, newest first; `next` is the address of the following page, null on the last one."""

    items: list[UserRead]
    next: str | None
