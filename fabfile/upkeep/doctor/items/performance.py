"""Performance: the pool, a cache, the server's own settings, balancing, compression."""

from __future__ import annotations

from typing import Any

from fabfile.upkeep.doctor.judging import (
    Item,
    Seen,
    State,
    Verdict,
    as_database_says,
    by_database,
    known,
    missing,
    on_each,
)

NO_DATABASE = Verdict(State.NEEDLESS, "the service has no database")
# As many processes as cores can be kept busy by, and one that waits.
MOST_PER_CORE = 2


def pool(seen: Seen) -> Verdict:
    if not seen.has_database:
        return NO_DATABASE
    return as_database_says(by_database(seen, "connection-budget"))


def cache(seen: Seen) -> Verdict:
    for name in seen.of("app"):
        said = (seen.hosts.get(name) or {}).get("facts", {}).get("live", {}).get("cache", {})
        if said.get("named") and not said["answers"]:
            return Verdict(
                State.WRONG, f"{name}: nobody answers at the address of Redis", "app_redis_url, or that Redis"
            )

    def judge(facts: Any) -> tuple[bool, str]:
        named = facts["live"]["cache"]["named"]
        return named, "Redis answers" if named else "no Redis is named: every answer is made anew"

    return on_each(
        seen, "app", judge, "a host in the group redis, or one of your own by app_redis_url; then site.yml"
    )


def server(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        unit, cores = facts["live"]["unit"], facts["cores"]
        said = f"{unit['workers']} workers on {cores} cores, {' and '.join(unit['libraries']) or 'plain asyncio'}"
        fits = 1 <= unit["workers"] <= MOST_PER_CORE * cores + 1
        return fits and len(unit["libraries"]) > 1, said

    return on_each(seen, "app", judge, "uvicorn[standard] in the service's lock; app_workers as the cores")


def balancing(seen: Seen) -> Verdict:
    number = len(seen.of("app"))
    if number < 2:
        return missing(
            "one app host: nginx has no other to choose", "a second host in the group app; then site.yml"
        )

    def judge(facts: Any) -> tuple[bool, str]:
        # By address: a socket is the private port's own service.
        servers = known(facts["nginx"]).get("server", [])
        behind = sum(not server.startswith("unix:") for server in servers)
        return behind >= number, f"nginx chooses among {behind} of {number} app hosts"

    return on_each(seen, "edge", judge, "ansible-playbook -i inventory/ENV playbooks/edge.yml")


def compression(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        nginx = known(facts["nginx"])
        types = " ".join(nginx.get("gzip_types", []))
        is_on = nginx.get("gzip", [""])[0] == "on" and "application/json" in types
        return is_on, f"gzip for {nginx['gzip_types'][0]}" if is_on else "nginx does not compress JSON"

    return on_each(seen, "edge", judge, "ansible-playbook -i inventory/ENV playbooks/edge.yml")


ITEMS = (
    Item("pool", "a pool of connections that the server has room for", pool, group="db"),
    Item("cache", "Redis caches", cache, group="app"),
    Item("server", "the server's processes fit the machine", server, group="app"),
    Item("balancing", "nginx balances", balancing, group="edge"),
    Item("compression", "answers are compressed", compression, group="edge"),
)
