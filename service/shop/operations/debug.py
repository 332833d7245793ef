"""For admins where the service is developed and tested: plans of known queries, and the process."""

import os
from typing import Any

from pydantic import BaseModel
from sqlalchemy import text
from starlette.requests import Request

from shop.core.database import resources_of
from shop.core.errors import AppError
from shop.core.principal import AdminUser
from shop.core.process import cgroup_memory, process_facts
from shop.core.routing import api_router
from shop.core.transactions import answering_for_the_database
from shop.domains import DOMAINS

# The statements that may be explained, with values that stand for any: no other text reaches the database.
QUERIES = {name: query for domain in DOMAINS for name, query in domain.queries.items()}

router = api_router("/debug", "debug", 401, 403, 404, 429, 503)


class Plan(BaseModel):
    """PostgreSQL's plan of one query, in its own JSON."""

    query: str
    plan: list[Any]


class Process(BaseModel):
    """The worker that answered: bytes, seconds; `memory_limit` is the control group's, None for none."""

    pid: int
    rss: int
    vms: int
    memory_percent: float | None
    memory_limit: int | None
    cpu_seconds: float
    cpu_count: int
    threads: int
    open_files: int
    uptime: float


@router.get("/explain/{query_name}")
async def explain(request: Request, query_name: str, _: AdminUser) -> Plan:
    """How the database would run a known query. It is planned, not run, in a read-only transaction."""
    if query_name not in QUERIES:
        known = ", ".join(sorted(QUERIES))
        raise AppError(404, "query_unknown", f"No query has this name. There are: {known}.")
    with answering_for_the_database():
        async with resources_of(request).reads.connect() as connection:
            connection = await connection.execution_options(
                isolation_level="READ COMMITTED", postgresql_readonly=True
            )
            async with connection.begin():
                await connection.execute(text("SET LOCAL statement_timeout = '2s'"))
                plan = (
                    await connection.execute(text(f"EXPLAIN (FORMAT JSON) {QUERIES[query_name]}"))
                ).scalar_one()
    return Plan(query=query_name, plan=plan)


@router.get("/process")
async def process(_: AdminUser) -> Process:
    """Memory, CPU, threads and open files of the worker that answers; nothing waits for a measurement."""
    facts = process_facts(os.getpid())
    if facts is None:
        raise AppError(
            503, "process_unknown", "The kernel tells nothing of this process: /proc is not there."
        )
    limit = cgroup_memory().get("max", float("inf"))
    has_limit = limit != float("inf")
    return Process(
        pid=facts.pid,
        rss=facts.rss,
        vms=facts.vms,
        memory_percent=round(100 * facts.rss / limit, 2) if has_limit else None,
        memory_limit=int(limit) if has_limit else None,
        cpu_seconds=facts.cpu,
        cpu_count=os.cpu_count() or 1,
        threads=facts.threads,
        open_files=facts.open_files,
        uptime=round(facts.uptime, 1),
    )
