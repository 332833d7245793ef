"""High availability: workers, standbys, sentinels, a graceful end, who takes over."""

from __future__ import annotations

from typing import Any

from fabfile.upkeep.doctor.items.performance import NO_DATABASE
from fabfile.upkeep.doctor.judging import (
    Item,
    Seen,
    Verdict,
    as_database_says,
    by_database,
    known,
    met,
    missing,
    on_each,
)

NOT_YET = "for the database Slipway sets up nothing yet"


def workers(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        number = facts["live"]["unit"]["workers"]
        return number > 1, f"{number} process{'es' if number != 1 else ''} answer{'' if number != 1 else 's'}"

    return on_each(seen, "app", judge, "app_workers: 2 or more; then site.yml")


def standby(seen: Seen) -> Verdict:
    if not seen.has_database:
        return NO_DATABASE
    if not seen.replicas:
        by_database(seen, "replicas", "receiver")
        return missing(
            "one server has the data, and no standby is expected",
            "Slipway sets up none yet: one of your own, db_status_replicas",
        )
    return as_database_says(by_database(seen, "replicas", "replica-lag"))


def sentinel(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        said = facts["live"]["cache"]
        if not said["named"]:
            return False, "no Redis, and so none that takes over"
        return said["sentinel"], "a sentinel answers beside Redis" if said[
            "sentinel"
        ] else "one Redis, no sentinel"

    return on_each(seen, "app", judge, "Slipway sets up none yet: a Redis with sentinels of your own")


def graceful(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        stop, record = facts["live"]["unit"]["stop"], facts["live"]["record"] or {}
        if stop in ("infinity", "0", ""):
            return False, f"a release may take {stop or 'no known time'} to end"
        lost = (record.get("details") or {}).get("lost")
        if lost:
            return False, f"the last rollout lost {lost} requests of its probe"
        return True, f"a release has {stop} to end" + (
            "; the last rollout lost no request" if lost == 0 else ""
        )

    return on_each(seen, "app", judge, "fab audit; docs/runbooks/alerts-rollouts.md")


def takeover(seen: Seen) -> Verdict:
    lacking = {}
    if len(seen.of("app")) < 2:
        lacking["of one app host nobody takes over"] = "a second host in the group app"
    servers = on_each(seen, "db", lambda facts: (facts["takeover"], "nothing promotes a standby"), NOT_YET)
    if seen.has_database and servers.remedy:
        lacking["the database: nothing promotes a standby"] = NOT_YET
    if lacking:
        return missing("; ".join(lacking), "; ".join(lacking.values()))

    def judge(facts: Any) -> tuple[bool, str]:
        said = known(facts["nginx"]).get("proxy_next_upstream", ["off"])[0]
        return "error" in said, f"nginx goes on to the next app host after: {said}"

    found = on_each(seen, "edge", judge, "ansible-playbook -i inventory/ENV playbooks/edge.yml")
    return met(found.evidence) if not found.remedy else found


ITEMS = (
    Item("workers", "several workers", workers, group="app"),
    Item("standby", "the database has a standby", standby, group="db"),
    Item("sentinel", "Redis has sentinels, or is a cluster", sentinel, group="app"),
    Item("graceful", "a graceful end", graceful, group="app"),
    Item("takeover", "what fails is taken over for", takeover, group="all"),
)
