"""A report of a bad night, with hostile texts in it, for the tests of screens and pages."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from fabfile.database import texts
from fabfile.database.findings import Finding, Level, Report, Section, Server, Table

TAKEN = datetime(2026, 11, 23, 3, 12, 44, tzinfo=UTC)
HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[2J\u202e'; DROP TABLE orders;--"

OK, WARN, CRITICAL, UNKNOWN = Level.OK, Level.WARN, Level.CRITICAL, Level.UNKNOWN

SESSIONS = Section(
    "sessions",
    (
        Finding(
            "connections",
            WARN,
            "78 of 97 connections are taken, 80 % (warning from 75 %, critical from 90 %).",
            "fab db-activity --env production",
            "db-connections.md",
            80,
            75,
            90,
            "%",
        ),
        Finding(
            "blocked",
            CRITICAL,
            "3 sessions wait for a lock, the longest for 4 min 12 s (warning from 30 s, critical from 2 min); "
            f"pid 4242 of shop_migrate ({HOSTILE}) stands at their root.",
            "fab db-activity --env production",
            "db-blocked.md",
            252,
            30,
            120,
            "s",
        ),
        Finding(
            "longest-query",
            OK,
            "The longest query runs for 0.2 s (warning from 1 min).",
            "",
            "",
            0.2,
            60,
            300,
            "s",
        ),
    ),
    (
        Table(
            "Sessions by state",
            ("state", "connections"),
            (("active", 9), ("idle", 62), ("idle in transaction", 7)),
        ),
        Table(
            "Waits",
            ("wait", "sessions"),
            (("Lock:relation", 3), ("Client:ClientRead", 69), ("LWLock:WALWrite", 2)),
        ),
        Table(
            "Blocked sessions",
            ("pid", "role", "application", "waits", "query"),
            ((4243, "shop", HOSTILE, timedelta(seconds=252), "UPDATE orders SET state = ? WHERE id = $1"),),
        ),
    ),
    0.04,
)
STORAGE = Section(
    "storage",
    (
        Finding(
            "disk",
            OK,
            "41 % of the data's disk is used (warning from 80 %).",
            "",
            "db-disk.md",
            41,
            80,
            90,
            "%",
        ),
        Finding(
            "wal-size",
            OK,
            "pg_wal holds 0.6 GB, 60 % of max_wal_size (warning from 150 %).",
            "",
            "",
            60,
            150,
            300,
            "%",
        ),
    ),
    (
        Table(
            "Disks",
            ("mount", "used %", "free"),
            (("/var/lib/postgresql", 41.0, "23 GB"), ("/var/log", 12.5, "8 GB")),
        ),
        Table(
            "Largest tables",
            ("table", "bytes"),
            (("shop.order_lines", 9_812_377_600), ("shop.orders", 3_112_000_000)),
        ),
    ),
    0.02,
)
STATEMENTS = Section(
    "statements",
    (Finding("statements", OK, "One statement takes 38 % of the time; nothing is asked of it."),),
    (
        Table(
            "Statements by total time",
            ("query id", "time %", "calls", "mean ms", "query"),
            (
                (
                    "-4411",
                    38.2,
                    918_221,
                    1.81,
                    "SELECT id, sku FROM products WHERE id > $1 ORDER BY id LIMIT $2",
                ),
                ("8872", 21.0, 40_112, 22.9, "UPDATE stock SET count = count - $1 WHERE product_id = $2"),
                ("17", 3.4, 77, 91.2, HOSTILE),
            ),
        ),
    ),
    0.03,
)
AGES = Section(
    "maintenance",
    (
        Finding(
            "transaction-ids",
            OK,
            "The oldest transaction id is 182 million old (warning from 500 million).",
            value=182e6,
            warn=5e8,
            critical=1.2e9,
            unit="transactions",
        ),
        Finding(
            "backup",
            WARN,
            "The last backup is 27 h old (warning from 26 h, critical from 50 h).",
            "fab db-backup --env production",
            "db-backup.md",
            27,
            26,
            50,
            "h",
        ),
    ),
)
SETTINGS = Section(
    "settings",
    (
        Finding(
            "settings-drift",
            WARN,
            "1 of 37 settings run with another value than Slipway wrote: work_mem is 256MB, not 16MB (ALTER SYSTEM).",
            "ALTER SYSTEM RESET work_mem; SELECT pg_reload_conf();",
        ),
    ),
    (
        Table(
            "Settings with another value",
            ("setting", "rendered", "running", "from", "waits for a restart"),
            (("work_mem", "16MB", "256MB", "ALTER SYSTEM", "no"),),
        ),
    ),
    0.01,
)
REPLICATION = Section("replication", (), (), 2.0, "it was not read within 2 s")


def report(*sections: Section) -> Report:
    """The bad night, or a report of the sections."""
    server = Server("db-1", "primary", "14.23", TAKEN - timedelta(days=12, hours=4), "")
    parts = sections or (SESSIONS, STORAGE, STATEMENTS, AGES, SETTINGS, REPLICATION)
    return Report("production", "shop", server, TAKEN, 0.83, parts)


def main(words: list[str]) -> int:
    """Write the page of the bad night, with a harmless name in it, to a file: what docs/images shows."""
    from pathlib import Path

    from markupsafe import escape

    from fabfile.database.screen import page

    harmless = page.html(report()).replace(str(escape(texts.plain(HOSTILE))), "stock-correction")
    Path(words[0]).write_text(harmless, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
