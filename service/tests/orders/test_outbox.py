"""The outbox: senders at work at the same time never take the same message."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from conftest import Database
from shop.core.database import open_resources
from shop.core.outbox import mark_sent, take_batch

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    """The service's engine for transactions, with ten messages to send."""
    await database.execute(
        "INSERT INTO outbox (topic, payload) SELECT 'n', to_jsonb(n) FROM generate_series(1, 10) AS n"
    )
    async with open_resources(database.settings()) as resources:
        yield resources.writes


async def test_two_senders_take_different_messages_oldest_first(
    engine: AsyncEngine, database: Database
) -> None:
    async with engine.begin() as first, engine.begin() as second:
        taken_first = await take_batch(first, 4)
        taken_second = await take_batch(second, 4)
        assert [message.payload for message in taken_first] == [1, 2, 3, 4]
        assert [message.payload for message in taken_second] == [5, 6, 7, 8]
        assert {message.topic for message in taken_first} == {"n"}
        await mark_sent(first, [message.id for message in taken_first])
        await mark_sent(second, [message.id for message in taken_second])
    async with engine.begin() as connection:
        assert [message.payload for message in await take_batch(connection, 100)] == [9, 10]
    rows = await database.fetch("SELECT payload FROM shop.outbox WHERE sent_at IS NULL ORDER BY id")
    assert [row["payload"] for row in rows] == ["9", "10"]


async def test_what_a_sender_took_and_did_not_deliver_is_taken_again(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        taken = await take_batch(connection, 3)
        await mark_sent(connection, [message.id for message in taken])
        # No commit: the sender is gone.
    async with engine.begin() as connection:
        assert [message.payload for message in await take_batch(connection, 3)] == [1, 2, 3]


async def test_an_empty_batch_is_no_error(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await mark_sent(connection, [message.id for message in await take_batch(connection, 100)])
    async with engine.begin() as connection:
        assert await take_batch(connection, 100) == []
        await mark_sent(connection, [])
