"""Redis: a cache and a courtesy. The service is correct without it."""

from pydantic import BaseModel, Field, SecretStr


class CacheSettings(BaseModel):
    """The part of Settings that the cache needs."""

    redis_url: str = Field(
        "",
        pattern=r"^(|rediss?://[A-Za-z0-9.:\[\]-]{1,253}(/[0-9]{1,2})?|unix:///[^\x00-\x1f?@]{1,90})$",
        description="redis://HOST:PORT/DATABASE, rediss:// for TLS, or unix:///PATH; no password; "
        "empty for no cache",
    )
    redis_pool_size: int = Field(
        10, ge=1, le=100, description="a number of connections to Redis per worker, 1 to 100"
    )
    redis_password: SecretStr | None = Field(None, description="the password of Redis")
