"""What a client says and gets when it logs in."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from shop.auth.tokens import LONGEST_TOKEN
from shop.core.passwords import LONGEST_PASSWORD


class LoginForm(BaseModel):
    """The password grant of OAuth 2.0 (RFC 6749, 4.3.2). Its other fields are ignored, as OAuth asks."""

    grant_type: Literal["password"] = "password"
    username: str = Field(max_length=254, description="the email address")
    password: SecretStr = Field(max_length=LONGEST_PASSWORD)


class RefreshTokenUse(BaseModel):
    """A refresh token, to be renewed or to be revoked."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: str = Field(max_length=LONGEST_TOKEN, pattern=r"^[A-Za-z0-9._-]+$")


class TokenRead(BaseModel):
    """A pair of tokens (RFC 6749, 5.1). `expires_in` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of a scheme
    expires_in: int
