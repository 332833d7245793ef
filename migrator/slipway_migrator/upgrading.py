"""Bringing a database to a service's revisions: its env.py connects, and nothing of it has to be changed."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from slipway_migrator import books
from slipway_migrator.address import Settings
from slipway_migrator.blockers import Session
from slipway_migrator.drivers import is_the_databases, sqlstate
from slipway_migrator.errors import LockNotFreeError, MigrationError
from slipway_migrator.indexes import LOCKED
from slipway_migrator.lines import say
from slipway_migrator.revisions import Revisions
from slipway_migrator.session import prepare, refuse_while_frozen, strongest_lock, take_lock, watching

SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 15.0
# What another session's work made fail, and may not the next time: no lock in time, a deadlock, a conflict.
PASSING = {
    "55P03": "a lock was not free within its time",
    "40P01": "it met another session in a deadlock",
    "40001": "another session changed the same",
}


@dataclass(frozen=True)
class Migrated:
    """The revision the database was on and the one it is on now; `origin` is None for an empty schema.

    held_back: revisions from the first contract one on, which only a migration told to contract applies.
    """

    origin: str | None
    target: str | None
    held_back: tuple[str, ...] = ()


def _intercept(environment: EnvironmentContext, begin: Callable[[Connection], dict[str, Any]]) -> None:
    """Have begin(connection) called with what env.py connected, and its options go above what env.py chose."""
    configure, met = environment.configure, list[Connection]()

    def intercepted(connection: Connection | None = None, *given: Any, **options: Any) -> None:
        if connection is None:
            raise MigrationError("env.py calls context.configure() without a connection.")
        if met:
            raise MigrationError("env.py configures a second database; one is all that a release migrates.")
        met.append(connection)
        own = begin(connection)
        theirs = options.get("on_version_apply") or ()
        after = (*(theirs if isinstance(theirs, Sequence) else (theirs,)), own.pop("on_version_apply"))
        configure(
            connection,
            *given,
            **{**options, **own, "on_version_apply": after, "transaction_per_migration": True},
        )

    # The module alembic.context speaks to this very object, and to no subclass.
    environment.configure = intercepted  # type: ignore[method-assign]


class _Try:
    """One run of env.py."""

    def __init__(self, settings: Settings, program: str, revisions: Revisions, contract: bool) -> None:
        self.settings, self.program, self.revisions, self.contract = settings, program, revisions, contract
        self.blockers: list[Session] = []
        self.origin: str | None = None
        self.reached: str | None = None
        self.held_back: tuple[str, ...] = ()
        self.began = time.monotonic()
        self.has_begun = self.was_run = False

    def run(self, config: Config) -> Migrated:
        with ExitStack() as kept:

            def begin(connection: Connection) -> dict[str, Any]:
                self.has_begun = True
                pid = prepare(connection, self.settings, self.program)
                take_lock(connection, self.settings.lock_wait)
                kept.enter_context(watching(connection.engine, pid, self.program, self.blockers))
                return {"on_version_apply": self.record, "patience": self.settings.retry_seconds}

            script = self.revisions.script
            environment = EnvironmentContext(config, script, fn=self.steps, destination_rev="head")
            _intercept(environment, begin)
            try:
                with environment:
                    script.run_env()
            except Exception as error:
                if self.has_begun or isinstance(error, MigrationError) or is_the_databases(error):
                    raise
                said = " ".join(str(error).split())
                raise MigrationError(f"its env.py failed. {type(error).__name__}: {said}") from error
        if not self.was_run:
            raise MigrationError("env.py never calls context.run_migrations().")
        return Migrated(self.origin, self.reached, self.held_back)

    def steps(self, heads: tuple[str, ...], context: Any) -> Iterator[Any]:
        """The revisions to apply, as Alembic asks for them inside its run."""
        self.was_run = True
        # Alembic's own table is nobody's change, and stands before an index that must be the first one.
        if context.connection.in_transaction():
            context.connection.commit()
        applied = self._applied(heads)
        self.origin = self.reached = applied[-1].revision if applied else None
        undeclared = self.revisions.undeclared(
            step.revision.revision for step in self.revisions.pending(heads)
        )
        if undeclared:
            say("revision_without_kind", "warning", revisions=undeclared, counts_as="contract")
        self.began = time.monotonic()
        for step in self.revisions.to_take(heads, self.contract):
            refuse_while_frozen(context.connection)
            say("revision_begun", revision=step.revision.revision)
            yield step
        now = self.revisions.up_to(context.get_current_heads())
        self.reached = now[-1].revision if now else None
        self.held_back = tuple(each.revision for each in self.revisions.in_order if each not in now)
        self._settle(context.connection, now)

    def _applied(self, heads: tuple[str, ...]) -> tuple[Any, ...]:
        unknown = [head for head in heads if head not in self.revisions.known]
        if unknown:
            raise MigrationError(
                f"it is on revision {', '.join(unknown)}, which release {self.settings.release} does not carry: only "
                "the release that brought it, or a later one, can migrate it."
            )
        return self.revisions.up_to(heads)

    def _settle(self, connection: Connection, now: Sequence[Any]) -> None:
        """What plain Alembic applied earlier is in the books too, and the books are all there."""
        if connection.in_transaction():
            connection.commit()
        with connection.begin():
            if now:
                books.record(connection, now, self.settings.release)
            if not self.held_back:
                books.complete(connection)

    def record(self, ctx: Any, step: Any, heads: set[str], **_: object) -> None:
        lock, relations = strongest_lock(ctx.connection, ctx.opts.pop(LOCKED, ()))
        say(
            "revision_applied",
            revision=step.up_revision_id,
            seconds=round(time.monotonic() - self.began, 3),
            strongest_lock=lock,
            locked=relations,
        )
        self.began = time.monotonic()
        books.record(ctx.connection, self.revisions.up_to(heads), self.settings.release)


def _pause(attempt: int) -> float:
    longest = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2**attempt)
    return random.uniform(SHORTEST_PAUSE, longest)  # noqa: S311 - spreads retries, guards nothing


def upgrade(config: Config, settings: Settings, program: str, contract: bool = False) -> Migrated:
    """Bring the database to the head, or to before its first contract revision; idempotent.

    A revision that waits 2 s for a lock gives up, so that it never queues the service's own statements behind
    it; so does one that PostgreSQL ends to break a deadlock. It is tried again, with growing pauses, for
    `retry_seconds`, always with that limit. Each revision is one transaction: what did not finish is rolled back.

    program: the session's application_name. Raises MigrationError when the database or the environment is not
    prepared, MigratorBusyError when another migration runs on, LockNotFreeError when a lock stays taken,
    RevisionError when a revision refuses, the driver's error for anything else.
    """
    revisions, blockers = Revisions(config), list[Session]()
    began, attempt = time.monotonic(), 0
    while True:
        attempt += 1
        one = _Try(settings, program, revisions, contract)
        one.blockers = blockers
        try:
            migrated = one.run(config)
        except DBAPIError as error:
            waited, pause = time.monotonic() - began, _pause(attempt)
            met = PASSING.get(sqlstate(error))
            if met is None:
                raise
            if waited + pause > settings.retry_seconds:
                seen = "; ".join(map(str, blockers)) or "nobody that was seen"
                raise LockNotFreeError(
                    f"in {attempt} tries within {waited:.0f} s ({met}); in the way was {seen}"
                ) from error
            say(
                "migration_waits_for_lock",
                "warning",
                attempt=attempt,
                waited_seconds=round(waited, 1),
                pause_seconds=round(pause, 1),
                sqlstate=sqlstate(error),
                blocked_by=[blocker.as_fields() for blocker in blockers],
            )
            time.sleep(pause)
        else:
            say(
                "migration_done",
                attempts=attempt,
                seconds=round(time.monotonic() - began, 1),
                held_back=list(migrated.held_back),
            )
            return migrated
