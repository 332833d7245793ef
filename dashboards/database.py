"""What `fab db-status` says, and what it said before."""

from __future__ import annotations

from dashboards.board import Board
from dashboards.panels import CRITICAL, GOOD, WARNING, Panel, Query

MINE = 'app=~"$app"'
PAGE = "alerts-database.md"
UNSEEN = "purple"
LEVELS = {0: ("ok", GOOD), 1: ("warning", WARNING), 2: ("critical", CRITICAL), 3: ("not known", UNSEEN)}


def checks(level: int) -> Query:
    """How many checks have a level."""
    name = LEVELS[level][0]
    return Query(f"count(slipway_database_check_level{{{MINE}}} == {level}) or vector(0)", name)


def values(unit: str, but: str = "") -> list[Query]:
    """The numbers that checks of one unit were judged by."""
    labels = f'{MINE}, unit="{unit}"' + (f', check!~"{but}"' if but else "")
    return [Query(f"max by (check) (slipway_database_check_value{{{labels}}})", "{{check}}")]


BOARD = Board(
    "database",
    "database",
    "Each check of fab db-status: its level, and the number that it was judged by.",
    (
        Panel(
            "Critical", "Checks of fab db-status that are critical.", "short", PAGE, [checks(2)], "stat", 4, 4,
            decimals=0, steps=(None, 1),
        ),
        Panel(
            "Warnings", "Checks of fab db-status that are a warning.", "short", PAGE, [checks(1)], "stat", 4, 4,
            decimals=0, steps=(1, None),
        ),
        Panel(
            "Not known", "Checks that nobody could answer: what was not looked at is not right.", "short", PAGE,
            [checks(3)], "stat", 4, 4, decimals=0, steps=(1, None),
        ),
        Panel(
            "Last look", "How long ago the database's host looked, which it does each minute.", "s", PAGE,
            [Query(f"time() - min(slipway_database_look_timestamp_seconds{{{MINE}}})", "last look")], "stat", 4, 4,
            steps=(120, 300),
        ),
        Panel(
            "Sessions", "Share of the connections that the server allows.", "percent", "db-connections.md",
            [Query(f'max(slipway_database_check_value{{{MINE}, check="connections"}})', "connections")], "stat", 4, 4,
            decimals=0, steps=(75, 90),
        ),
        Panel(
            "Size", "What the database takes on the disk.", "bytes", "db-disk.md",
            [Query(f"max(database_size_bytes{{{MINE}}})", "size")], "stat", 4, 4,
        ),
        Panel(
            "What is not right", "The sentences of fab db-status, and what to type.", "short", PAGE,
            [Query(f"slipway_database_finding{{{MINE}}}")], "table", 16, 9,
            columns={"level": "level", "check": "check", "sentence": "what it says", "command": "type",
                     "runbook": "page"},
            widths={"level": 80, "check": 140, "type": 190, "page": 150},
        ),
        Panel(
            "Every check", "The level of each check, the worst first.", "short", PAGE,
            [Query(f"max by (check) (slipway_database_check_level{{{MINE}}})")], "table", 8, 9, words=LEVELS,
            columns={"check": "check", "Value": "level"}, widths={"level": 110}, sorted_by=("level", True),
        ),
        Panel(
            "Checks that are not right", "How many there were of each level.", "short", PAGE,
            [checks(2), checks(1), checks(3)], width=8, least=0, decimals=0, stacked=True, stepped=True,
            colors={"critical": CRITICAL, "warning": WARNING, "not known": UNSEEN},
        ),
        Panel(
            "Shares", "What was judged as a share: connections, disks, what slots may keep, how far numbers have been "
            "used up.", "percent", PAGE, values("%"), width=8, least=0,
        ),
        Panel(
            "Times", "What was judged as a time: the longest query and transaction, how long somebody is blocked.", "s",
            PAGE, values("s"), width=8, least=0,
        ),
        Panel(
            "Sessions by what they do", "As the service's own role sees them.", "short", "db-connections.md",
            [Query(f"max by (state) (database_connections{{{MINE}}})", "{{state}}")], width=8, least=0, decimals=0,
            stacked=True,
        ),
        Panel(
            "Days", "What is judged in days: how old the newest backup and restore test are, how long a certificate "
            "lasts.", "d", "db-backup.md", values("d"), width=8,
        ),
        Panel(
            "Bytes", "What was judged as an amount: what waits in the log, what replicas have not got yet.", "bytes",
            "db-wal-size.md", values("B"), width=8, least=0,
        ),
        Panel(
            "Rows that nobody sees", "Dead rows of the largest tables, which vacuum takes away.", "short",
            "db-dead-tuples.md", [Query(f"max by (table) (database_table_dead_rows{{{MINE}}})", "{{table}}")], width=8,
            least=0, decimals=0,
        ),
        Panel(
            "Live rows", "Rows of the largest tables.", "short", "db-bloat.md",
            [Query(f"max by (table) (database_table_live_rows{{{MINE}}})", "{{table}}")], width=8, least=0, decimals=0,
        ),
        Panel(
            "How long a look takes", "The look of each minute, from its first to its last query.", "s", PAGE,
            [Query(f"max by (host) (slipway_database_look_duration_seconds{{{MINE}}})", "{{host}}")], width=8, least=0,
        ),
    ),
)  # fmt: skip
