"""The table of an environment for development and one for production: five rows."""

from __future__ import annotations

import re
from typing import Any

from fabfile.upkeep.doctor.items.performance import NO_DATABASE
from fabfile.upkeep.doctor.judging import Item, Seen, Verdict, known, on_each

CONNECTIONS_PER_CORE = 2
KEPT_SECONDS = (60, 120)
FOUND = 200


def pool_size(seen: Seen) -> Verdict:
    if not seen.has_database:
        return NO_DATABASE

    def judge(facts: Any) -> tuple[bool, str]:
        numbers, cores = facts["live"]["numbers"], facts["cores"]
        each = numbers["DATABASE_POOL_SIZE"] + numbers["DATABASE_MAX_OVERFLOW"]
        total = each * numbers["WORKERS"]
        said = f"{total} connections a release ({numbers['WORKERS']} workers of {each}) for {cores} cores"
        return total >= CONNECTIONS_PER_CORE * cores, said

    return on_each(seen, "app", judge, "app_database_pool_size: the cores twice in all; then site.yml")


def pool_recycle(seen: Seen) -> Verdict:
    if not seen.has_database:
        return NO_DATABASE

    def judge(facts: Any) -> tuple[bool, str]:
        said = known(facts["sessions"])
        if said["old"]:
            return (
                False,
                f"{said['old']} of the service's {said['all']} connections are in use for over an hour",
            )
        return True, f"none of the service's {said['all']} connections in use is older than an hour"

    return on_each(seen, "db", judge, "pool_recycle=3600 or less in the service's engine")


def workers(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        number, cores = facts["live"]["unit"]["workers"], facts["cores"]
        return number >= cores, f"workers: {number}, cores: {cores}"

    return on_each(seen, "app", judge, "app_workers as the cores; then site.yml")


def keep_alive(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        said = known(facts["nginx"])["keepalive_timeout"][0]
        found = re.match(r"(\d+)s?\b", said)
        least, most = KEPT_SECONDS
        return bool(found and least <= int(found[1]) <= most), f"nginx keeps a connection for {said}"

    return on_each(seen, "edge", judge, "ansible-playbook -i inventory/ENV playbooks/edge.yml")


def docs_closed(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        said = known(facts["edge"])["docs"]
        shown = [path for path, status in said.items() if status == FOUND]
        return (
            not shown,
            f"anybody reads {', '.join(shown)}" if shown else f"{', '.join(said)}: nothing is there",
        )

    return on_each(
        seen, "edge", judge, "FastAPI(docs_url=None, redoc_url=None, openapi_url=None) in production"
    )


ITEMS = (
    Item("pool-size", "connections: the cores twice", pool_size, group="app"),
    Item("pool-recycle", "connections are renewed each hour", pool_recycle, group="db"),
    Item("processes", "workers: as many as cores", workers, group="app"),
    Item("keep-alive", "clients' connections are kept for 75 s", keep_alive, group="edge"),
    Item("docs-closed", "no pages of the API's for the public", docs_closed, group="edge"),
)
