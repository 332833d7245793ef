"""Maintenance: pages, rollouts, backups, rotated logs, the way back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fabfile.upkeep.doctor.items.performance import NO_DATABASE
from fabfile.upkeep.doctor.judging import (
    Item,
    Seen,
    Verdict,
    as_database_says,
    by_database,
    met,
    missing,
    on_each,
)

PROJECT = Path(__file__).parents[4]
GUIDES = ("docs/real-hosts.md", "docs/releases.md", "docs/on-call.md", "docs/monitoring.md")
ALERTS = "roles/prometheus/files/alerts.yml"
NAMED = re.compile(r"^  runbook: ([a-z0-9-]+\.md)$", re.MULTILINE)
# logrotate's timer is daily at the least.
HOURS = 26


def pages(seen: Seen, project: Path = PROJECT) -> Verdict:
    named = {
        f"docs/runbooks/{page}" for page in NAMED.findall((project / ALERTS).read_text(encoding="utf-8"))
    }
    lacking = sorted(path for path in (*GUIDES, *named) if not (project / path).is_file())
    if lacking:
        return missing(f"{', '.join(lacking)} is not in this checkout", "git status")
    number = len(list((project / "docs/runbooks").glob("*.md")))
    return met(f"{len(GUIDES)} guides and {number} runbooks; every page that an alert names is there")


def rollouts(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        record = facts["live"]["record"]
        if record is None:
            return True, "site.yml put the first release live"
        kind, _, phase = str(record["kind"]).partition(".")
        result = (record["details"] or {}).get("result", "") if phase == "end" else "not at its end"
        return (
            result == "ok",
            f"the last {kind}, {str(record['time'])[:16].replace('T', ' ')}: {result or 'failed'}",
        )

    return on_each(seen, "app", judge, "fab status; fab recover makes the hosts agree")


def backups(seen: Seen) -> Verdict:
    if not seen.has_database:
        return NO_DATABASE
    return as_database_says(by_database(seen, "backup", "restore-test"))


def rotation(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        said = facts["rotation"]
        if not said["rule"]:
            return False, "logrotate has no rule for the service's log"
        if not said["timer"] or (said["hours"] or 0) > HOURS:
            return False, f"logrotate has not run for {HOURS} h" if said[
                "timer"
            ] else "logrotate's timer does not run"
        ran = "has not run yet, and its timer runs" if said["hours"] is None else f"ran within {HOURS} h"
        return True, f"logrotate {ran}; the largest log has {said['largest'] / 2**20:.1f} MB"

    return on_each(seen, "app", judge, "systemctl status logrotate.timer")


def back(seen: Seen) -> Verdict:
    hosts = [name for name in seen.of("app") if name in seen.hosts]
    kept = [set(seen.hosts[name]["facts"]["live"]["back"]) for name in hosts]
    common = sorted(set.intersection(*kept)) if kept else []

    def judge(_facts: Any) -> tuple[bool, str]:
        return bool(
            common
        ), f"{common[-1]} is there to go back to" if common else "no earlier release is verified"

    return on_each(seen, "app", judge, "the next fab deploy leaves this one to go back to")


ITEMS = (
    Item("pages", "the deployment is written down", pages),
    Item("rollouts", "a program deploys", rollouts, group="app"),
    Item("backups", "backups, and proof of them", backups, group="db"),
    Item("rotation", "logs are rotated", rotation, group="app"),
    Item("back", "a way back", back, group="app"),
)
