"""What the articles take for granted: hosts that are well, and closed to strangers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fabfile.upkeep.doctor import across
from fabfile.upkeep.doctor.items.performance import NO_DATABASE
from fabfile.upkeep.doctor.judging import (
    Item,
    Seen,
    State,
    UnseenError,
    Verdict,
    by_database,
    known,
    met,
    on_each,
    parted,
)

CLOSED = {
    "passwordauthentication": ("no",),
    "kbdinteractiveauthentication": ("no",),
    "permitrootlogin": ("no", "prohibit-password", "without-password", "forced-commands-only"),
}


def _well(said: str) -> Any:
    """An item that verify's look judges, and nothing else: without a complaint it is met."""

    def judge(seen: Seen) -> Verdict:
        return on_each(seen, "all", lambda _facts: (True, said), "")

    return judge


def updates(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        waits = facts["reboot"]
        return not waits, waits[0] if waits else "unattended-upgrades runs; no reboot waits"

    return on_each(seen, "all", judge, "one host after the other: docs/runbooks/alerts-hosts.md, RebootWaits")


def ssh(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        said = known(facts["sshd"])
        opened = [f"{name} {said[name]}" for name, wanted in CLOSED.items() if said[name] not in wanted]
        return not opened, ", ".join(opened) or "sshd takes keys alone, and no password for root"

    return on_each(
        seen,
        "all",
        judge,
        "Slipway leaves sshd yours: PasswordAuthentication no in /etc/ssh/sshd_config.d/01-own.conf",
    )


def firewall(seen: Seen) -> Verdict:
    def judge(facts: Any) -> tuple[bool, str]:
        denies = known(facts["firewall"])["denies"]
        return bool(
            denies
        ), f"{denies[0]} lets in what it names" if denies else "no rule set denies what it does not name"

    return on_each(seen, "all", judge, "Slipway loads none yet: one of your own (nft), or the provider's")


def agreement(seen: Seen) -> Verdict:
    if wrong := across.complaints(seen.hosts):
        return Verdict(State.WRONG, *parted(wrong[0]))
    if away := [name for name in (*seen.of("app"), *seen.of("db")) if name not in seen.hosts]:
        raise UnseenError(f"{', '.join(dict.fromkeys(away))} did not answer")
    live = [str(seen.hosts[name]["live"]) for name in seen.of("app")]
    return met(
        f"{live[0]} is live on {len(live)} app host{'s' if len(live) > 1 else ''}; its connections fit"
    )


def database(seen: Seen) -> Verdict:
    if not seen.has_database:
        return NO_DATABASE
    if seen.database is None:
        by_database(seen)
    assert seen.database is not None
    counts = Counter(finding.counts_as.name.lower() for finding in seen.database.findings)
    worst = seen.database.findings[0]
    said = ", ".join(
        f"{counts[name]} {name}" for name in ("critical", "unknown", "warn", "ok") if counts[name]
    )
    state = {0: State.MET, 1: State.NOT_MET, 2: State.WRONG}.get(seen.database.exit_code, State.UNSEEN)
    if state is State.MET:
        return met(f"db-status: {said}")
    return Verdict(state, f"db-status: {said}; {worst.sentence}", "fab db-status")


ITEMS = (
    Item("units", "what has to run, runs", _well("what has to run runs, and starts at boot"), ("units",)),
    Item("disks", "disks have room", _well("no disk is full to 90 %"), ("disks",)),
    Item("updates", "security updates install themselves", updates, ("updates",)),
    Item("ssh", "SSH by keys alone", ssh),
    Item("firewall", "what is not named is not let in", firewall),
    Item("agreement", "the hosts agree", agreement, group="app"),
    Item("database", "the database is well", database, ("database",), "db"),
)
