"""What customers get: asked for, failed, late; and what a worker has to do it with."""

from __future__ import annotations

from dashboards.board import Board
from dashboards.panels import CRITICAL, GOOD, Panel, Query

MINE = 'app=~"$app"'
PAGE = "alerts-service.md"
RATE = "$__rate_interval"


def rate(metric: str, more: str = "") -> str:
    """A counter's growth in a second."""
    return f"rate({metric}{{{MINE}{', ' + more if more else ''}}}[{RATE}])"


def within(share: float, metric: str, *labels: str) -> str:
    """From a histogram: how long that share of what was measured took at most."""
    by = ", ".join((*labels, "le"))
    return f"histogram_quantile({share}, sum by ({by}) ({rate(f'{metric}_bucket')}))"


DURATION = "http_request_duration_seconds"
ASKED = rate("http_requests_total")
FAILED = rate("http_requests_total", 'status=~"5.."')
REFUSED = rate("http_requests_total", 'status=~"[45].."')
IN_TIME = rate(f"{DURATION}_bucket", 'le="0.5"')
CPU = rate("process_cpu_seconds_total", 'job="service"')

BOARD = Board(
    "service",
    "service",
    "Requests, errors and durations of each route, and what workers, pool and cache do meanwhile.",
    (
        Panel(
            "Ready", "Whether the live release answers on its socket that it is ready, on every app host.",
            "bool_yes_no", PAGE, [Query(f"min(slipway_release_ready{{{MINE}}})", "ready")], "stat", 4, 4,
            words={1: ("yes", GOOD), 0: ("no", CRITICAL)},
        ),
        Panel(
            "Requests", "Answers a second, of all routes.", "reqps", PAGE, [Query(f"sum({ASKED})", "requests")],
            "stat", 4, 4,
        ),
        Panel(
            "Failed", "The share of answers that are errors of the service's own (5xx).", "percentunit", PAGE,
            [Query(f"(sum({FAILED}) or vector(0)) / sum({ASKED})", "failed")], "stat", 4, 4,
            decimals=2, steps=(0.001, 0.0144),
        ),
        Panel(
            "Late", "The share of answers that took longer than half a second.", "percentunit", PAGE,
            [Query(f"1 - sum({IN_TIME}) / sum({rate(f'{DURATION}_count')})", "late")], "stat", 4, 4,
            decimals=2, steps=(0.01, 0.144),
        ),
        Panel(
            "99 of 100 within", "How long the slowest of a hundred answers took, of all routes.", "s", PAGE,
            [Query(within(0.99, DURATION), "99 of 100")], "stat", 4, 4,
        ),
        Panel(
            "Live since", "How long ago the newest of the live releases became live.", "s", "alerts-rollouts.md",
            [Query(f"time() - max(slipway_release_live_since_timestamp_seconds{{{MINE}}})", "live since")],
            "stat", 4, 4,
        ),
        Panel(
            "Requests by route", "Answers a second of each route's template.", "reqps", PAGE,
            [Query(f"sum by (method, endpoint) ({ASKED})", "{{method}} {{endpoint}}")],
            least=0, width=8,
        ),
        Panel(
            "Errors by route", "Answers of 4xx and 5xx a second. Many 4xx are somebody's wrong request, 5xx are ours.",
            "reqps", PAGE,
            [Query(f"sum by (status, method, endpoint) ({REFUSED})", "{{status}} {{method}} {{endpoint}}")],
            least=0, width=8,
        ),
        Panel(
            "99 of 100 within, by route", "How long the slowest of a hundred answers of each route took.", "s", PAGE,
            [Query(within(0.99, DURATION, "method", "endpoint"), "{{method}} {{endpoint}}")], least=0, width=8,
        ),
        Panel(
            "Durations", "How long the fastest half, 95 and 99 of a hundred answers took at most.", "s", PAGE,
            [Query(within(share, DURATION), name) for share, name in ((0.5, "half"), (0.95, "95"), (0.99, "99"))],
            least=0, width=8,
        ),
        Panel(
            "Event loop lag", "By how much the event loop was late to wake a task, 99 of a hundred times at most. "
            "Something that blocks it delays every request of that worker.", "s", PAGE,
            [Query(within(0.99, "event_loop_lag_seconds", "host"), "{{host}}")], least=0, width=8,
        ),
        Panel(
            "Requests being answered", "Requests that have begun and not ended.", "short", PAGE,
            [Query(f"sum by (host) (http_requests_active{{{MINE}}})", "{{host}}")], least=0, decimals=0, width=8,
        ),
        Panel(
            "Connection pool", "Connections of all workers' pools. Those who wait for one are late by that.", "short",
            "db-connections.md",
            [
                Query(f"sum(database_pool_{name}{{{MINE}}})", said)
                for name, said in (
                    ("checked_out", "in use"), ("checked_in", "free"), ("size", "kept open at most"),
                    ("waiters", "requests that wait"),
                )
            ],
            least=0, decimals=0, width=8, colors={"requests that wait": CRITICAL},
        ),
        Panel(
            "Statements", "Statements to the database a second, by what they do.", "ops", "alerts-database.md",
            [Query(f"sum by (operation) ({rate('database_queries_total')})", "{{operation}}")], least=0, width=8,
        ),
        Panel(
            "Cache", "What the cache was asked for a second: found, not found, and where it failed. "
            "Empty without a Redis (app_redis_url).", "ops", PAGE,
            [
                Query(f"sum by (type) ({rate(f'cache_{name}_total')})", f"{said} {{{{type}}}}")
                for name, said in (("hits", "found"), ("misses", "not found"), ("errors", "failed"))
            ],
            least=0, width=8,
        ),
        Panel(
            "CPU of the workers", "Cores that all workers of a host use.", "short", PAGE,
            [Query(f"sum by (host) ({CPU})", "{{host}}")],
            least=0, width=8,
        ),
        Panel(
            "Memory of the workers", "Memory in RAM of all workers of a host.", "bytes", PAGE,
            [Query(f'sum by (host) (process_resident_memory_bytes{{{MINE}, job="service"}})', "{{host}}")],
            least=0, width=8,
        ),
        Panel(
            "Connections of nginx", "Clients' connections: those being answered, and those kept open between requests.",
            "short", PAGE,
            [Query(
                f'sum by (host, state) (nginx_connections{{{MINE}, state=~"writing|waiting"}})', "{{host}} {{state}}",
            )],
            least=0, decimals=0, width=8,
        ),
    ),
)  # fmt: skip
