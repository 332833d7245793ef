"""Alembic's environment: how to connect as the migrating role. The rest is the migrator's."""

import asyncio

import slipway_migrator
from alembic import context
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from shop.core import idempotency, outbox
from shop.core.configuration import load_settings
from shop.core.database import Base, connect_args, database_url
from shop.domains import DOMAINS
from shop.settings import MigrationSettings

# A model that is not imported is a table that autogenerate would drop. Our revisions make the migrator's too.
MODELS = (*(domain.models for domain in DOMAINS), idempotency.IdempotencyKey, outbox.OutboxMessage)
METADATA = [Base.metadata, slipway_migrator.tables]


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=METADATA, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


async def _run(settings: MigrationSettings) -> None:
    engine = create_async_engine(
        database_url(settings, settings.migrate_database_user, settings.migrate_database_password),
        connect_args=connect_args(settings, {"application_name": f"shop-migrate/{settings.release}"}),
        poolclass=pool.NullPool,
        hide_parameters=True,
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, target_metadata=METADATA)
    context.run_migrations()
else:
    asyncio.run(_run(load_settings(MigrationSettings)))
