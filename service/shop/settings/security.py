"""Keys, tokens, passwords, and who may register."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, SecretStr, model_validator

from shop.settings.migration import Environment

SECRET_KEY_LENGTH = 32
PLACEHOLDER = re.compile(
    r"change.?me|change.?this|replace.?me|placeholder|example|default|dummy|secret|password", re.IGNORECASE
)
# Fewer distinct characters than this in 32 is a pattern somebody typed, not a generated key.
SECRET_KEY_DISTINCT_CHARACTERS = 10


def _check_secret_key(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(value.get_secret_value()) < SECRET_KEY_LENGTH:
        raise ValueError("too short")
    return value


class SecuritySettings(BaseModel):
    """The part of Settings that authentication needs."""

    environment: Environment
    secret_key: Annotated[SecretStr, AfterValidator(_check_secret_key)] = Field(
        description=f"at least {SECRET_KEY_LENGTH} generated characters, "
        "for example the output of: openssl rand -base64 48"
    )
    secret_key_previous: Annotated[SecretStr | None, AfterValidator(_check_secret_key)] = Field(
        None,
        description="a second secret key, the next one or the one before, at least "
        f"{SECRET_KEY_LENGTH} characters: tokens it signed are valid until they expire",
    )
    access_token_minutes: int = Field(
        30, ge=1, le=1440, description="the minutes an access token is valid, 1 to 1440"
    )
    refresh_token_days: int = Field(14, ge=1, le=90, description="the days a refresh token is valid, 1 to 90")
    token_issuer: str = Field(
        "shop",
        pattern=r"^[!-~]{1,128}$",
        description="the issuer (iss) of tokens, 1 to 128 printable characters",
    )
    token_audience: str = Field(
        "shop",
        pattern=r"^[!-~]{1,128}$",
        description="the audience (aud) of tokens, 1 to 128 printable characters",
    )
    registration: Literal["open", "admin"] = Field(
        "open", description="open or admin: who may create users, anyone or admins only"
    )
    login_attempts_per_minute: int = Field(
        5,
        ge=1,
        le=1000,
        description="the failed logins allowed a minute for an account from one network, 1 to 1000; an "
        "account from anywhere and a network with any account have four times as many",
    )
    registrations_per_minute: int = Field(
        20, ge=1, le=10_000, description="the registrations allowed a minute from one network, 1 to 10000"
    )
    password_memory_kib: int = Field(
        65_536, ge=8, le=1_048_576, description="the KiB of memory one password hash takes, 8 to 1048576"
    )
    password_iterations: int = Field(3, ge=1, le=100, description="the passes over that memory, 1 to 100")

    @model_validator(mode="after")
    def _refuse_placeholder_key(self) -> "SecuritySettings":
        for name in ("secret_key", "secret_key_previous"):
            value: SecretStr | None = getattr(self, name)
            key = value.get_secret_value() if value else None
            if key is None or self.environment not in ("staging", "production"):
                continue
            if PLACEHOLDER.search(key) or len(set(key)) < SECRET_KEY_DISTINCT_CHARACTERS:
                raise ValueError(
                    f"The credential {name} looks like a placeholder, and SHOP_ENVIRONMENT is "
                    f"{self.environment}: replace it with the output of: openssl rand -base64 48"
                )
        return self
