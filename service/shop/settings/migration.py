"""What the database is to the service and to its env.py: the way in, both roles, the pool, the log."""

import os
import ssl
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

PREFIX = "SHOP_"
# Settings of this prefix that the migrator reads, and the service does not.
MIGRATORS = ("DATABASE_OWNER", "DATABASE_SCHEMA", "MIGRATE_LOCK_WAIT", "MIGRATE_RETRY_SECONDS")
Environment = Literal["development", "lab", "test", "staging", "production"]
# Where the service is worked on or tried: it documents itself and explains its queries.
OPEN_ENVIRONMENTS: tuple[Environment, ...] = ("development", "lab", "test")
Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_$-]{0,62}$")]
IDENTIFIER = "a PostgreSQL name: lower case, 63 characters at most"


def empty_is_none(value: Any) -> Any:
    """None for the empty text, which a settings file cannot leave out."""
    return None if value == "" else value


def readable(value: Path | None) -> Path | None:
    """The path; raises ValueError when it is not absolute or cannot be read."""
    if value is not None and not (value.is_absolute() and os.access(value, os.R_OK)):
        raise ValueError("not the absolute path of a readable file")
    return value


def certificates(value: Path | None) -> Path | None:
    """The path; raises ValueError when it is not an absolute one of certificates."""
    if value is None:
        return None
    if not value.is_absolute():
        raise ValueError("not an absolute path")
    try:
        ssl.create_default_context(cafile=value)
    except (OSError, ssl.SSLError) as error:
        raise ValueError("not a readable file of certificates") from error
    return value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class MigrationSettings(BaseSettings):
    """All that a migration needs: everything but the service's secret key."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )

    credential: ClassVar[str] = "migrate_database_password"

    environment: Environment = Field(description=f"one of {', '.join(get_args(Environment))}")
    release: str = Field(
        "unreleased",
        pattern=r"^[A-Za-z0-9._-]{1,58}$",
        description="the release id: 1 to 58 letters, digits, dots, dashes or underscores",
    )
    database_host: str = Field(
        "/var/run/postgresql",
        pattern=r"^(/[^\x00-\x1f]{1,90}|[A-Za-z0-9][A-Za-z0-9.:-]{0,252})$",
        description="a host name, or the absolute path of the socket directory, 91 characters at most",
    )
    database_port: int = Field(5432, ge=1, le=65535, description="a port number, 1 to 65535")
    database_name: Identifier = Field("shop", description=IDENTIFIER)
    database_user: Identifier = Field("shop", description=IDENTIFIER)
    database_ca: Annotated[Path | None, BeforeValidator(empty_is_none), AfterValidator(certificates)] = Field(
        None,
        description="the absolute path of a readable file of CA certificates (PEM): needed with a "
        "host name, where TLS checks the server's certificate and name; not used with a socket directory",
    )
    database_pool_size: int = Field(
        10, ge=1, le=100, description="a number of connections kept open by one worker, 1 to 100"
    )
    database_max_overflow: int = Field(
        5, ge=0, le=100, description="a number of further connections one worker may open at peaks, 0 to 100"
    )
    database_pool_timeout: float = Field(
        3, gt=0, le=30, description="the seconds a request waits for a free connection, above 0, at most 30"
    )
    database_connection_budget: Annotated[int | None, BeforeValidator(empty_is_none)] = Field(
        None,
        ge=1,
        le=10_000,
        description="the connections one release may hold on this host, 1 to 10000, or empty for unknown",
    )
    database_statement_timeout: int = Field(
        5000, ge=100, le=60000, description="the milliseconds one statement may take, 100 to 60000"
    )
    workers: int = Field(2, ge=1, le=64, description="a number of worker processes, 1 to 64")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="one of debug, info, warning, error"
    )
    migrate_database_user: Identifier = Field("shop_migrate", description=IDENTIFIER)
    database_password: SecretStr | None = Field(None, description="the password of the service's role")
    migrate_database_password: SecretStr | None = Field(
        None, description="the password of the migrating role"
    )

    @property
    def database_is_local(self) -> bool:
        """True when the server is reached over a socket directory of this host."""
        return self.database_host.startswith("/")

    @property
    def connections(self) -> int:
        """The most connections that all workers of this release hold together."""
        return self.workers * (self.database_pool_size + self.database_max_overflow)

    @model_validator(mode="after")
    def _check_budget(self) -> "MigrationSettings":
        budget = self.database_connection_budget
        if budget is not None and self.connections > budget:
            raise ValueError(
                f"SHOP_DATABASE_CONNECTION_BUDGET is {budget}, and SHOP_WORKERS x (SHOP_DATABASE_POOL_SIZE + "
                f"SHOP_DATABASE_MAX_OVERFLOW) is {self.workers} x ({self.database_pool_size} + "
                f"{self.database_max_overflow}) = {self.connections} connections: use fewer workers or a "
                "smaller pool, or let the database accept more connections and raise the budget."
            )
        return self

    @model_validator(mode="after")
    def _check_transport(self) -> "MigrationSettings":
        if not self.database_is_local and self.database_ca is None:
            raise ValueError(
                "SHOP_DATABASE_CA is not set and SHOP_DATABASE_HOST is the host name "
                f"{self.database_host!r}: set SHOP_DATABASE_CA to the file of CA certificates that the "
                "server's certificate is checked against, or set SHOP_DATABASE_HOST to a socket directory."
            )
        if not self.database_is_local and not getattr(self, self.credential):
            raise ValueError(
                f"The credential {self.credential} is not set and SHOP_DATABASE_HOST is the host name "
                f"{self.database_host!r}: put the password into the credentials directory, or set "
                "SHOP_DATABASE_HOST to a socket directory, where the server knows the process by its user."
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        directory = os.environ.get("CREDENTIALS_DIRECTORY") or None
        credentials = SecretsSettingsSource(settings_cls, secrets_dir=directory, env_prefix="")
        return init_settings, env_settings, credentials
