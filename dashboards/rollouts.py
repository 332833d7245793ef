"""Which release serves where, and how the last rollouts went."""

from __future__ import annotations

from dashboards.board import Board
from dashboards.panels import CRITICAL, GOOD, PLAIN, WARNING, Panel, Query

MINE = 'app=~"$app"'
PAGE = "alerts-rollouts.md"
INFO = f"slipway_release_info{{{MINE}}}"
SINCE = f"slipway_release_live_since_timestamp_seconds{{{MINE}}}"

BOARD = Board(
    "rollouts",
    "rollouts",
    "Releases, rollouts, leases and the schema, as slipway tells them on every host.",
    (
        Panel(
            "Live", "The release that most hosts serve.", "none", PAGE,
            [Query(f"topk(1, count by (release) ({INFO}))", "{{release}}")], "stat", 6, 4, named=True,
        ),
        Panel(
            "Different releases", "How many are live on the hosts of a service; one, but during a rollout.", "short",
            "half-deployed-fleet.md", [Query(f"max(count by (app) (count by (app, release) ({INFO})))", "releases")],
            "stat", 3, 4, decimals=0, steps=(None, 2),
        ),
        Panel(
            "Last rollout", "How long ago a controller last told of one.", "s", PAGE,
            [Query(f"time() - max(slipway_rollout_timestamp_seconds{{{MINE}}})", "last rollout")], "stat", 3, 4,
        ),
        Panel(
            "It ended", "Whether the last rollout ended well.", "short", PAGE,
            [Query(f"max(slipway_rollout_failed{{{MINE}}})", "ended")], "stat", 3, 4,
            words={0: ("well", GOOD), 1: ("not well", CRITICAL)},
        ),
        Panel(
            "It lost", "Requests of its probe that were lost.", "short", PAGE,
            [Query(f"max(slipway_rollout_lost{{{MINE}}})", "lost")], "stat", 3, 4, decimals=0, steps=(1, 10),
        ),
        Panel(
            "Its longest gap", "Between two good answers to its probe.", "s", PAGE,
            [Query(f"max(slipway_rollout_max_gap_seconds{{{MINE}}})", "longest gap")], "stat", 3, 4, steps=(1, 5),
        ),
        Panel(
            "Lease", "Whether somebody deploys, or left the lease of a deploy behind.", "short", "stuck-lock.md",
            [Query(f"max(slipway_lease_held{{{MINE}}})", "lease")], "stat", 3, 4,
            words={0: ("free", GOOD), 1: ("held", WARNING)},
        ),
        Panel(
            "Hosts by release", "How many hosts serve each release.", "short", "half-deployed-fleet.md",
            [Query(f"count by (release) ({INFO})", "{{release}}")], width=12, least=0, decimals=0, stacked=True,
            stepped=True,
        ),
        Panel(
            "What the last rollout lost", "Requests of its probe that were lost.", "short", PAGE,
            [Query(f"max by (app) (slipway_rollout_lost{{{MINE}}})", "{{app}}")], width=6, least=0, decimals=0,
            stepped=True,
        ),
        Panel(
            "The last rollout's longest gap", "Between two good answers to its probe.", "s", PAGE,
            [Query(f"max by (app) (slipway_rollout_max_gap_seconds{{{MINE}}})", "{{app}}")], width=6, least=0,
            stepped=True,
        ),
        Panel(
            "Releases that hosts keep", "By their state. Half-built and damaged ones serve nobody.", "short", PAGE,
            [Query(f"sum by (state) (slipway_releases{{{MINE}}})", "{{state}}")], width=12, least=0, decimals=0,
            stacked=True, stepped=True,
            colors={
                "live": GOOD, "verified": PLAIN, "warm": "purple", "staged": "yellow", "half-built": WARNING,
                "damaged": CRITICAL, "bad": CRITICAL,
            },
        ),
        Panel(
            "Who takes no customers", "Hosts in maintenance, and hosts that are drained.", "short", PAGE,
            [
                Query(f"sum by (host) (slipway_maintenance{{{MINE}}})", "{{host}} in maintenance"),
                Query(f"sum by (host) (slipway_drained{{{MINE}}})", "{{host}} drained"),
            ],
            width=6, least=0, decimals=0, stepped=True,
        ),
        Panel(
            "What a kill left behind",
            "Steps that began and never ended, and lines of the journal that are no records.",
            "short", "half-deployed-host.md",
            [
                Query(f"sum by (host) (slipway_unfinished_steps{{{MINE}}})", "{{host}} unfinished steps"),
                Query(f"sum by (host) (slipway_journal_torn_lines{{{MINE}}})", "{{host}} torn lines"),
            ],
            width=6, least=0, decimals=0, stepped=True,
        ),
        Panel(
            "What each host serves", "The live release of each host, and how long it has been live.", "s", PAGE,
            [Query(f"{INFO} * on (app, host) group_left () (time() - {SINCE})")],
            "table", 14, 6,
            columns={"app": "service", "host": "host", "release": "release", "git_sha": "commit", "Value": "for"},
            widths={"service": 90, "host": 110, "release": 270, "for": 90},
        ),
        Panel(
            "Schema", "The database's revision, the live release's, and how many that take away wait.", "short",
            "contract-a-schema.md",
            [Query(
                f"max by (app, applied, head) (slipway_schema_info{{{MINE}}} * on (app, host)"
                " group_left () slipway_schema_contracts_waiting)",
            )],
            "table", 10, 6,
            columns={"app": "service", "applied": "applied", "head": "release's", "Value": "wait"},
            widths={"wait": 70},
        ),
    ),
)  # fmt: skip
