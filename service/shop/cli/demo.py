"""`shop seed-demo`: a made-up shop to try things on, never in production."""

import asyncio
import secrets
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from datetime import datetime, timezone

from sqlalchemy import exists, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shop.cli.output import EX_FAILED, CommandError, refusing, say
from shop.core.configuration import load_settings
from shop.core.database import Base, Resources, open_resources
from shop.core.demo import Demo
from shop.core.health import Readiness, revisions
from shop.core.logging import configure_logging
from shop.core.passwords import Passwords
from shop.core.transactions import in_transaction
from shop.domains import DOMAINS
from shop.settings import Settings
from shop.users.demo import MAIL
from shop.users.models import User

MOST_USERS = 500
# Any constant that nothing else of the shop locks: "demo" in ASCII.
SEEDING_LOCK = 0x64656D6F
# At a time: many rows are one statement to asyncpg, and each has its time.
ROWS = 500
SEEDED = select(exists().where(User.email.endswith(f"@{MAIL}")))


def _number_of_users(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= MOST_USERS:
        raise ArgumentTypeError(f"a whole number from 1 to {MOST_USERS} is needed, not {value}")
    return int(value)


def arguments(parser: ArgumentParser) -> None:
    """The arguments of seed-demo."""
    parser.add_argument(
        "--users", type=_number_of_users, default=20, help=f"1 to {MOST_USERS} users (%(default)s)"
    )


async def _insert(connection: AsyncConnection, demo: Demo) -> dict[str, int]:
    """The number of rows in each table; empty when there is a demo already."""
    # Whoever comes at the same time waits, and finds what the first one made.
    await connection.execute(select(func.pg_advisory_xact_lock(SEEDING_LOCK)))
    if await connection.scalar(SEEDED):
        return {}
    made = [table for table in Base.metadata.sorted_tables if demo.rows.get(table.name)]
    for table in made:
        rows = demo.rows[table.name]
        for first in range(0, len(rows), ROWS):
            await connection.execute(insert(table), rows[first : first + ROWS])
    return {table.name: len(demo.rows[table.name]) for table in made}


async def _refuse_another_schema(resources: Resources, release: str) -> None:
    verdict = await Readiness(resources.reads, revisions(), release).verdict()
    if verdict.code in ("schema_missing", "schema_behind", "schema_unknown", "schema_contracted"):
        raise CommandError(EX_FAILED, f"{verdict.message} Nothing was changed.")


async def _seed(settings: Settings, users: int, password: str) -> dict[str, int]:
    async with open_resources(settings) as resources:
        await _refuse_another_schema(resources, settings.release)
        hashed = await Passwords.of(settings).hash(password)
        demo = Demo(users, datetime.now(timezone.utc), hashed, settings.currency)
        for domain in DOMAINS:
            if domain.seed:
                domain.seed(demo)
        return await in_transaction(resources.writes, lambda connection: _insert(connection, demo))


def seed_demo(chosen: Namespace) -> int:
    """Fill the shop with made-up users, accounts, products and orders, once; refused in production."""
    settings = load_settings(Settings)
    if settings.environment == "production":
        sentence = "SHOP_ENVIRONMENT is production, where nothing is made up; nothing was changed."
        raise CommandError(EX_FAILED, sentence)
    configure_logging(settings.log_level, settings.release, stream="stderr")
    generated = secrets.token_urlsafe(18)
    with refusing():
        counts = asyncio.run(_seed(settings, chosen.users, generated))
    say({"created": True, **counts, "password": generated} if counts else {"created": False})
    return 0
