"""Settings: `SHOP_` variables for what may be read, files of the credentials directory for what may not.

One frozen class, `Settings`, put together from one module a subject; `MigrationSettings` is all that a
migration needs.
"""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from shop.settings.cache import CacheSettings
from shop.settings.http import HttpSettings
from shop.settings.migration import MIGRATORS, OPEN_ENVIRONMENTS, PREFIX, MigrationSettings
from shop.settings.observability import ObservabilitySettings
from shop.settings.security import SecuritySettings
from shop.settings.trade import TradeSettings

__all__ = [
    "MIGRATORS",
    "OPEN_ENVIRONMENTS",
    "PREFIX",
    "SECRETS",
    "WORKER_MIB",
    "MaintenanceSettings",
    "MigrationSettings",
    "Settings",
]

SECRETS = (
    "database_password",
    "migrate_database_password",
    "secret_key",
    "secret_key_previous",
    "redis_password",
    "sentry_dsn",
)


# What a worker keeps in memory beside the hashes it makes.
WORKER_MIB = 110
KIB_OF = {"K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}


def _mebibytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value in ("", "infinity"):
        return None
    return int(value[:-1]) * KIB_OF[value[-1]] // 1024 if value[-1] in KIB_OF else int(value) // 1024**2


class MaintenanceSettings(MigrationSettings):
    """All that a command needs which works with the rows of the service, as the service's role."""

    credential: ClassVar[str] = "database_password"


class Settings(
    SecuritySettings, TradeSettings, HttpSettings, CacheSettings, ObservabilitySettings, MigrationSettings
):
    """All that the service needs. Built once at start and never changed: new values mean a restart."""

    credential: ClassVar[str] = "database_password"

    memory_limit: Annotated[int | None, BeforeValidator(_mebibytes)] = Field(
        None,
        ge=1,
        description="the memory that all workers together may take, as systemd writes it (768M), "
        "or empty for no limit",
    )

    @model_validator(mode="after")
    def _check_memory(self) -> "Settings":
        limit, hash_mib = self.memory_limit, -(-self.password_memory_kib // 1024)
        needed = self.workers * (WORKER_MIB + hash_mib)
        if limit is not None and needed > limit:
            raise ValueError(
                f"SHOP_MEMORY_LIMIT is {limit} MiB, and SHOP_WORKERS x ({WORKER_MIB} MiB + "
                f"SHOP_PASSWORD_MEMORY_KIB) is {self.workers} x ({WORKER_MIB} + {hash_mib}) = {needed} MiB "
                "when each worker hashes a password: use fewer workers, or raise the limit of the unit."
            )
        return self
