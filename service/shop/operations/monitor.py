"""What the database says of itself: connections, size, tables, the longest statement."""

import time
from collections.abc import Iterable
from typing import Any

import anyio
import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from shop.core.errors import AppError
from shop.core.transactions import reading

CACHE_SECONDS = 15.0
TIMEOUT_SECONDS = 1.0
# An idle session's query_start tells of its last statement, not of one that runs.
CONNECTIONS = text("""
    SELECT count(*) AS total,
           count(*) FILTER (WHERE state = 'active') AS active,
           count(*) FILTER (WHERE state = 'idle') AS idle,
           count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction,
           coalesce(
               max(extract(epoch FROM clock_timestamp() - query_start))
                   FILTER (WHERE state = 'active' AND pid <> pg_backend_pid()), 0
           )::float8 AS longest_running_seconds,
           pg_database_size(current_database()) AS size_bytes
    FROM pg_stat_activity
    WHERE datname = current_database()
""")
TABLES = text("""
    SELECT relname AS table_name, n_live_tup AS live_rows, n_dead_tup AS dead_rows,
           pg_total_relation_size(relid) AS size_bytes
    FROM pg_stat_user_tables
    ORDER BY n_live_tup DESC, relname
    LIMIT 10
""")
STATES = ("active", "idle", "idle_in_transaction")

log = structlog.get_logger("shop.monitor")


class DatabaseMonitor(Collector):
    """Asks the database at most every 15 s; the worker that serves /metrics asks for all of them.

    The service's role sees other roles' sessions without their state: they count in the total alone.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._flight = anyio.Lock()
        self._metrics: dict[str, Any] = {}
        self._expires = 0.0

    async def collect_metrics(self) -> dict[str, Any]:
        """`database_connections_*`, `database_longest_running_seconds`, `database_size_bytes`,
        `database_tables_top_10`; empty while the database does not answer within 1 s.
        """
        async with self._flight:
            if time.monotonic() >= self._expires:
                self._metrics = await self._ask()
                self._expires = time.monotonic() + CACHE_SECONDS
        return self._metrics

    async def _ask(self) -> dict[str, Any]:
        try:
            with anyio.fail_after(TIMEOUT_SECONDS):
                async with reading(self.engine) as connection:
                    row = (await connection.execute(CONNECTIONS)).one()
                    tables = [dict(table._mapping) for table in await connection.execute(TABLES)]
        except (AppError, DBAPIError, TimeoutError) as error:
            log.warning("database_metrics_missing", reason=str(error) or "no answer in time")
            return {}
        return {
            "database_connections_total": row.total,
            "database_connections_active": row.active,
            "database_connections_idle": row.idle,
            "database_connections_idle_in_transaction": row.idle_in_transaction,
            "database_longest_running_seconds": row.longest_running_seconds,
            "database_size_bytes": row.size_bytes,
            "database_tables_top_10": tables,
        }

    def collect(self) -> Iterable[Metric]:
        """The numbers collect_metrics found last, as gauges."""
        found = self._metrics
        yield GaugeMetricFamily("database_up", "1 if the database told its numbers.", float(bool(found)))
        if not found:
            return
        connections = GaugeMetricFamily(
            "database_connections", "Sessions of the database that the role sees.", labels=["state"]
        )
        for state in STATES:
            connections.add_metric([state], found[f"database_connections_{state}"])
        hidden = found["database_connections_total"] - sum(
            found[f"database_connections_{state}"] for state in STATES
        )
        connections.add_metric(["other"], hidden)
        yield connections
        for name, documentation in (
            ("database_longest_running_seconds", "Age of the oldest statement that runs."),
            ("database_size_bytes", "Size of the database."),
        ):
            yield GaugeMetricFamily(name, documentation, found[name])
        for name, column in (("live_rows", "Live"), ("dead_rows", "Dead")):
            rows = GaugeMetricFamily(
                f"database_table_{name}", f"{column} rows, largest ten.", labels=["table"]
            )
            for table in found["database_tables_top_10"]:
                rows.add_metric([table["table_name"]], table[name])
            yield rows
