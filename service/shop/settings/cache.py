"""Redis: a cache and a courtesy. The service is correct without it."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr

from shop.settings.migration import certificates, empty_is_none, readable


class CacheSettings(BaseModel):
    """The part of Settings that the cache needs."""

    redis_url: str = Field(
        "",
        pattern=r"^(|rediss?://[A-Za-z0-9.:\[\]-]{1,253}(/[0-9]{1,2})?|unix:///[^\x00-\x1f?@]{1,90})$",
        description="redis://HOST:PORT/DATABASE, rediss:// for TLS, or unix:///PATH; no password; "
        "empty for no cache",
    )
    redis_username: str = Field(
        "", pattern=r"^[a-z0-9_-]{0,63}$", description="the user of Redis that the password is for, or empty"
    )
    redis_ca: Annotated[Path | None, BeforeValidator(empty_is_none), AfterValidator(certificates)] = Field(
        None,
        description="the absolute path of a readable file of CA certificates (PEM) that sign Redis's, or "
        "empty for the system's",
    )
    redis_certificate: Annotated[
        Path | None, BeforeValidator(empty_is_none), AfterValidator(certificates)
    ] = Field(
        None,
        description="the absolute path of a readable certificate (PEM) that Redis is shown, or empty",
    )
    redis_key: Annotated[Path | None, BeforeValidator(empty_is_none), AfterValidator(readable)] = Field(
        None, description="the absolute path of the readable file of that certificate's key, or empty"
    )
    redis_pool_size: int = Field(
        10, ge=1, le=100, description="a number of connections to Redis per worker, 1 to 100"
    )
    redis_password: SecretStr | None = Field(None, description="the password of Redis")
