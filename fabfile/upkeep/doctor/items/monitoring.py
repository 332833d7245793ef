"""Monitoring and alerts: logs, metrics, health, errors, how fast it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fabfile.upkeep.doctor.judging import Item, Seen, UnseenError, Verdict, known, met, missing, on_each

NOBODY = "nobody watches: the inventory has no host in the group monitoring"
WATCH = "a host in the group monitoring (docs/monitoring.md); then site.yml"


def logs(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        said = facts["live"]["log"]
        if not said["lines"]:
            raise UnseenError("the service has written no line yet")
        return said["structured"] == said[
            "lines"
        ], f"{said['structured']} of its last {said['lines']} lines are JSON"

    return on_each(seen, "app", judge, "the service logs JSON lines to stdout (docs/service-contract.md)")


def _watched(seen: Seen, judge: Callable[[Any], tuple[bool, str]], remedy: str) -> Verdict:
    if not seen.of("monitoring"):
        return missing(NOBODY, WATCH)
    return on_each(seen, "monitoring", lambda facts: judge(known(facts["prometheus"])), remedy)


def metrics(seen: Seen) -> Verdict:
    def judge(said: Any) -> tuple[bool, str]:
        if said["down"]:
            return False, f"{len(said['down'])} do not answer: {', '.join(said['down'])}"
        return said["up"] > 0, f"Prometheus is answered by all {said['up']} whom it asks"

    return _watched(seen, judge, "fab alerts")


def health(seen: Seen) -> Verdict:
    for group in ("app", "edge"):
        if away := [name for name in seen.of(group) if name not in seen.hosts]:
            raise UnseenError(f"{', '.join(away)} did not answer")
    return met("the live release says on every app host that it is ready, and so does the edge")


def errors(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        names = facts["live"]["errors"]
        return bool(
            names
        ), f"{names[0]} is set" if names else "errors are in the logs alone: no DSN of Sentry is set"

    return on_each(seen, "app", judge, "sentry_dsn in app_credentials, where the service reads one")


def speed(seen: Seen) -> Verdict:
    def judge(said: Any) -> tuple[bool, str]:
        rules = [name for name in said["rules"] if name.startswith("Latency")]
        return bool(rules), f"{len(said['rules'])} alerts are judged, of latency {', '.join(rules) or 'none'}"

    return _watched(seen, judge, "ansible-playbook -i inventory/ENV playbooks/monitoring.yml")


ITEMS = (
    Item("logs", "structured logs", logs, group="app"),
    Item("metrics", "Prometheus has metrics", metrics, group="monitoring"),
    Item("health", "health is asked for", health, ("release", "edge"), "app"),
    Item("errors", "errors are tracked (Sentry)", errors, group="app"),
    Item("speed", "how fast it is, is watched", speed, group="monitoring"),
)
