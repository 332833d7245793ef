"""The schema: where the migrations are, which revision this release needs, how to get there."""

import random
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from shop.core.database import sqlstate
from shop.settings import MigrationSettings

LOCK_ATTEMPTS = 5
LOCK_NOT_AVAILABLE = "55P03"

log = structlog.get_logger("shop.schema")


class MigrationError(Exception):
    """A migration that cannot start: a sentence for the operator."""


@dataclass(frozen=True)
class Migrated:
    """The revision the database was on and the one it is on now; `origin` is None for an empty schema."""

    origin: str | None
    target: str


def migrations_directory() -> Path:
    """The folder with env.py: inside the installed package, beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def alembic_config(settings: MigrationSettings | None = None) -> Config:
    """Alembic's configuration for this release; `settings` is only needed to connect."""
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    if settings is not None:
        config.attributes["settings"] = settings
    return config


class Revisions:
    """The revisions this release carries, read once from disk."""

    def __init__(self) -> None:
        script = ScriptDirectory.from_config(alembic_config())
        heads = script.get_heads()
        if len(heads) != 1:
            raise MigrationError(f"The migrations have {len(heads)} heads ({', '.join(heads)}): merge them.")
        self.head = heads[0]
        self.known = frozenset(revision.revision for revision in script.walk_revisions())


def _upgrade_once(settings: MigrationSettings) -> Migrated:
    config = alembic_config(settings)
    command.upgrade(config, "head")
    return Migrated(origin=config.attributes["origin"], target=Revisions().head)


def upgrade(settings: MigrationSettings) -> Migrated:
    """Bring the database to this release's head; nothing happens when it is there.

    A revision that waits 2 s for a lock gives up, so that it never queues the shop's own statements behind
    it; it is tried five times. Each revision is one transaction: what did not finish is rolled back.
    Raises MigrationError when the database is not prepared, sqlalchemy's DBAPIError for anything else.
    """
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            return _upgrade_once(settings)
        except DBAPIError as error:
            if sqlstate(error) != LOCK_NOT_AVAILABLE or attempt == LOCK_ATTEMPTS:
                raise
            pause = attempt + random.random()  # noqa: S311 - spreads retries, guards nothing
            log.warning("migration_waits_for_lock", attempt=attempt, pause_seconds=round(pause, 1))
            time.sleep(pause)
    raise AssertionError("unreachable: the last attempt returns or raises")
