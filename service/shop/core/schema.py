"""The schema: where the migrations are, what each revision is, which one is needed, and how to get there."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import CheckConstraint, DateTime, String, Text, func
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, mapped_column

from shop.core.database import Base, sqlstate
from shop.settings import MigrationSettings

SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 15.0
# What another session's work made fail, and may not the next time: no lock in time, a deadlock, a conflict.
PASSING = {
    "55P03": "a lock was not free within its time",
    "40P01": "it met another session in a deadlock",
    "40001": "another session changed the same",
}

log = structlog.get_logger("shop.schema")


class MigrationError(Exception):
    """A migration that cannot start: a sentence for the operator."""


class MigratorBusyError(Exception):
    """Another migration runs and did not end in time; nothing was changed."""


class LockNotFreeError(Exception):
    """Others were in a revision's way in every try; the revision is rolled back."""


class RevisionError(Exception):
    """A revision that cannot be applied as it is, or on these rows: a sentence for the operator."""


class SchemaChange(Base):
    """One revision that is applied, written by the migration in the same transaction.

    Releases that do not carry the revision read its `kind` here: on an expanding one they keep running.
    """

    __tablename__ = "schema_changes"

    revision: Mapped[str] = mapped_column(String(32), primary_key=True)
    down_revision: Mapped[str | None] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(Text)
    release: Mapped[str] = mapped_column(Text)
    applied_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    __table_args__ = (CheckConstraint("kind IN ('expand', 'contract')", name="kind_known"),)


@dataclass(frozen=True)
class Revision:
    """A revision this release carries, and whether releases that lack it can run on it."""

    revision: str
    down_revision: str | None
    kind: Literal["expand", "contract"]


@dataclass(frozen=True)
class Migrated:
    """The revision the database was on and the one it is on now; `origin` is None for an empty schema.

    held_back: revisions from the first contract one on, which only a migration told to contract applies.
    """

    origin: str | None
    target: str
    held_back: tuple[str, ...] = ()


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


def _declared(script: Script) -> Revision:
    kind = getattr(script.module, "kind", None)
    if kind not in ("expand", "contract"):
        raise MigrationError(
            f"The revision {script.revision} ({Path(script.path).name}) declares the kind {kind!r}: "
            "it must be 'expand', if the previous release can run on it, or 'contract'."
        )
    down_revision = script.down_revision
    if isinstance(down_revision, tuple | list):
        raise MigrationError(
            f"The revision {script.revision} merges branches: revisions follow one another here."
        )
    return Revision(script.revision, down_revision, kind)


class Revisions:
    """The revisions this release carries, read once from disk; `in_order` has the first one first.

    Raises MigrationError when they branch, or when one does not declare its kind.
    """

    def __init__(self) -> None:
        script = ScriptDirectory.from_config(alembic_config())
        heads = script.get_heads()
        if len(heads) != 1:
            raise MigrationError(f"The migrations have {len(heads)} heads ({', '.join(heads)}): merge them.")
        self.head = heads[0]
        self.in_order = tuple(reversed([_declared(revision) for revision in script.walk_revisions()]))
        self.known = frozenset(revision.revision for revision in self.in_order)

    def up_to(self, revision: str | None) -> tuple[Revision, ...]:
        """The revisions from the first one to this one; none for None, which is an empty schema."""
        names = [each.revision for each in self.in_order]
        return self.in_order[: names.index(revision) + 1] if revision is not None else ()

    def suffices(self, revision: str | None) -> bool:
        """Whether this release can run on one of its own revisions: all that it adds to is there.

        What its last revisions take away is taken once no other release needs it, while this one serves.
        """
        names = [each.revision for each in self.in_order]
        if revision not in names:
            return False
        return all(each.kind == "contract" for each in self.in_order[names.index(revision) + 1 :])

    def target(self, origin: str | None, contract: bool) -> str:
        """Where a migration from `origin` ends: before the first contract revision, unless told to contract.

        An empty schema has no release that needs an old shape: it goes to the head.
        """
        if origin is None or contract:
            return self.head
        reached = origin
        for revision in self.in_order[len(self.up_to(origin)) :]:
            if revision.kind == "contract":
                break
            reached = revision.revision
        return reached


def _upgrade_once(settings: MigrationSettings, contract: bool, blockers: list[Any]) -> Migrated:
    config = alembic_config(settings)
    config.attributes["blockers"] = blockers
    script, revisions = ScriptDirectory.from_config(config), Revisions()
    reached = revisions.head

    def steps(current: tuple[str, ...], _: object) -> Iterator[Any]:
        nonlocal reached
        reached = revisions.target(next(iter(current), None), contract)
        for step in script._upgrade_revs(reached, current):  # type: ignore[arg-type]
            log.info("revision_begun", revision=step.revision.revision)
            yield step

    with EnvironmentContext(config, script, fn=steps, destination_rev="head"):
        script.run_env()
    names = [each.revision for each in revisions.in_order]
    return Migrated(config.attributes["origin"], reached, tuple(names[names.index(reached) + 1 :]))


def _pause(attempt: int) -> float:
    longest = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2**attempt)
    return random.uniform(SHORTEST_PAUSE, longest)  # noqa: S311 - spreads retries, guards nothing


def upgrade(settings: MigrationSettings, contract: bool = False) -> Migrated:
    """Bring the database to this release's head, or to before its first contract revision; idempotent.

    A revision that waits 2 s for a lock gives up, so that it never queues the shop's own statements behind
    it; so does one that PostgreSQL ends to break a deadlock. It is tried again, with growing pauses, for
    `migrate_retry_seconds`, always with that limit. Each revision is one transaction: what did not finish is
    rolled back.
    Raises MigrationError when the database is not prepared, MigratorBusyError when another migration runs
    on, LockNotFreeError when a lock stays taken, RevisionError when a revision refuses, sqlalchemy's
    DBAPIError for anything else.
    """
    began, attempt, blockers = time.monotonic(), 0, list[Any]()
    while True:
        attempt += 1
        try:
            migrated = _upgrade_once(settings, contract, blockers)
        except DBAPIError as error:
            waited, pause = time.monotonic() - began, _pause(attempt)
            met = PASSING.get(sqlstate(error))
            if met is None:
                raise
            if waited + pause > settings.migrate_retry_seconds:
                seen = "; ".join(map(str, blockers)) or "nobody that was seen"
                raise LockNotFreeError(
                    f"in {attempt} tries within {waited:.0f} s ({met}); in the way was {seen}"
                ) from error
            log.warning(
                "migration_waits_for_lock",
                attempt=attempt,
                waited_seconds=round(waited, 1),
                pause_seconds=round(pause, 1),
                sqlstate=sqlstate(error),
                blocked_by=[blocker.as_fields() for blocker in blockers],
            )
            time.sleep(pause)
        else:
            log.info(
                "migration_done",
                attempts=attempt,
                seconds=round(time.monotonic() - began, 1),
                held_back=list(migrated.held_back),
            )
            return migrated
