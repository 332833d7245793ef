"""A session of SQLAlchemy's ORM for a request: one transaction, committed before the answer is sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from starlette.requests import Request

from shop.core.database import resources_of
from shop.core.transactions import answering_for_the_database


@asynccontextmanager
async def session_on(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """A session that commits at its end, or rolls back; `engine` is Resources.reads or Resources.writes.

    It takes a connection at its first statement. Objects stay readable after the commit.
    Raises as answering_for_the_database does.
    """
    with answering_for_the_database():
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            yield session


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    resources = resources_of(request)
    # What only reads needs no BEGIN and no COMMIT, each of which is a round trip.
    async with session_on(resources.reads if request.method == "GET" else resources.writes) as session:
        yield session


# Of the function's scope: a commit that fails is the answer. The request's would end once it was sent.
Database = Annotated[AsyncSession, Depends(_session, scope="function")]
