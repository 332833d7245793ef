"""Alembic's environment: one migrator at a time, as the owning role, with a short wait for locks."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import structlog
from alembic import context
from sqlalchemy import Connection, delete, inspect, pool, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import create_async_engine

from shop.accounts import models as accounts
from shop.auth import models as auth
from shop.core import backfill_progress, idempotency, outbox
from shop.core.configuration import load_settings
from shop.core.database import SCHEMA, Base, connect_args, database_url
from shop.core.indexes import LOCKED
from shop.core.migrator import strongest_lock, take_lock, watching
from shop.core.schema import MigrationError, Revisions, SchemaChange
from shop.orders import models as orders
from shop.products import models as products
from shop.settings import MigrationSettings
from shop.users import models as users

# A model that is not imported is a table that autogenerate would drop.
MODELS = (accounts, auth, backfill_progress, idempotency, orders, outbox, products, users)
LOCK_TIMEOUT = "2s"
# The server notices within this time that a migrator was killed, and lets go of what it had locked.
CONNECTION_CHECK = "1s"
KEEPALIVES = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}

log = structlog.get_logger("shop.schema")


def _become_owner(connection: Connection, owner: str) -> None:
    """What a migration creates belongs to `owner`, so that its default privileges apply to it."""
    if not owner:
        return
    member = connection.scalar(
        text("SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = :owner"),
        {"owner": owner},
    )
    if not member:
        reason = "does not exist" if member is None else "does not count the migrating role as its member"
        raise MigrationError(f"the role {owner} {reason}: SHOP_DATABASE_OWNER names the schema's owner.")
    connection.execute(text("SELECT set_config('role', :owner, false)"), {"owner": owner})


def _require_schema(connection: Connection) -> None:
    if connection.scalar(text("SELECT to_regnamespace(:schema)"), {"schema": SCHEMA}) is None:
        raise MigrationError(f"the schema {SCHEMA} does not exist: create it, owned by the owning role.")


def _recorder(release: str, revisions: Revisions) -> Callable[..., None]:
    """Makes schema_changes say what is applied, in each revision's own transaction, up and down."""

    began = time.monotonic()

    def record(ctx: Any, step: Any, heads: set[str], **_: object) -> None:
        nonlocal began
        lock, relations = strongest_lock(ctx.connection, ctx.opts.pop(LOCKED, ()))
        log.info(
            "revision_applied" if step.is_upgrade else "revision_taken_back",
            revision=step.up_revision_id,
            seconds=round(time.monotonic() - began, 3),
            strongest_lock=lock,
            locked=relations,
        )
        began = time.monotonic()
        # Below the first revision the table itself is gone.
        if not inspect(ctx.connection).has_table(SchemaChange.__tablename__):
            return
        applied = revisions.up_to(next(iter(heads), None))
        names = [revision.revision for revision in applied]
        ctx.connection.execute(delete(SchemaChange).where(SchemaChange.revision.not_in(names)))
        rows = [{**asdict(revision), "release": release} for revision in applied]
        if rows:
            ctx.connection.execute(insert(SchemaChange).on_conflict_do_nothing(), rows)

    return record


def _migrate(connection: Connection, settings: MigrationSettings) -> None:
    connection.execute(text("SELECT set_config('lock_timeout', :wait, false)"), {"wait": LOCK_TIMEOUT})
    _require_schema(connection)
    _become_owner(connection, settings.database_owner)
    # These belong to the session and outlive this commit; from here the transactions are Alembic's.
    connection.commit()
    revisions = Revisions()
    context.configure(
        connection=connection,
        on_version_apply=_recorder(settings.release, revisions),
        target_metadata=Base.metadata,
        compare_server_default=True,
        transaction_per_migration=True,
        patience=settings.migrate_retry_seconds,
    )
    origin = context.get_context().get_current_revision()
    if origin is not None and origin not in revisions.known:
        raise MigrationError(
            f"it is on revision {origin}, which release {settings.release} does not carry: only the release "
            "that brought it, or a later one, can migrate it."
        )
    context.config.attributes["origin"] = origin
    connection.commit()
    with context.begin_transaction():
        context.run_migrations()


async def _run(settings: MigrationSettings) -> None:
    engine = create_async_engine(
        database_url(settings, settings.migrate_database_user, settings.migrate_database_password),
        connect_args=connect_args(
            settings,
            {
                "application_name": f"shop-migrate/{settings.release}",
                "client_connection_check_interval": CONNECTION_CHECK,
                **KEEPALIVES,
            },
        ),
        poolclass=pool.NullPool,
        hide_parameters=True,
    )
    try:
        async with engine.connect() as connection:
            async with connection.begin():
                pid = int(await connection.scalar(text("SELECT pg_backend_pid()")) or 0)
            await take_lock(connection, settings.migrate_lock_wait)
            blockers = context.config.attributes.setdefault("blockers", [])
            async with watching(engine, pid, blockers):
                await connection.run_sync(_migrate, settings)
    finally:
        await engine.dispose()


def _write_sql() -> None:
    """What a revision would say to the server, for whoever looks at it before; nothing is connected to."""
    if "sql" not in context.config.attributes:
        raise MigrationError(
            "SQL scripts are for looking at: shop schema --sql. A migration needs the database."
        )
    context.configure(
        dialect_name="postgresql",
        literal_binds=True,
        transactional_ddl=False,
        output_buffer=context.config.attributes["sql"],
    )
    context.run_migrations()


if context.is_offline_mode():
    _write_sql()
else:
    asyncio.run(_run(context.config.attributes.get("settings") or load_settings(MigrationSettings)))
