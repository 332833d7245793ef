"""Settings: `SHOP_` variables for what may be read, files of the credentials directory for what may not.

One frozen class, `Settings`, put together from one module a subject; `MigrationSettings` is all that a
migration needs.
"""

from typing import ClassVar

from shop.settings.cache import CacheSettings
from shop.settings.http import HttpSettings
from shop.settings.migration import PREFIX, MigrationSettings
from shop.settings.observability import ObservabilitySettings
from shop.settings.security import SecuritySettings

__all__ = ["PREFIX", "SECRETS", "MaintenanceSettings", "MigrationSettings", "Settings"]

SECRETS = (
    "database_password",
    "migrate_database_password",
    "secret_key",
    "secret_key_previous",
    "redis_password",
    "sentry_dsn",
)


class MaintenanceSettings(MigrationSettings):
    """All that a command needs which works with the rows of the service, as the service's role."""

    credential: ClassVar[str] = "database_password"


class Settings(SecuritySettings, HttpSettings, CacheSettings, ObservabilitySettings, MigrationSettings):
    """All that the service needs. Built once at start and never changed: new values mean a restart."""

    credential: ClassVar[str] = "database_password"
