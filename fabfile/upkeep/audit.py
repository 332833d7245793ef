"""`fab audit`: who rolled out what, and what clients felt, by the hosts' own chained records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fabfile.errors import FabError
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet, performed

# What a person asks about; the steps that slipway took for it are the rest.
TOLD = (
    "deploy", "rollback", "recover", "restart", "migrate", "lease", "maintenance", "mark-bad", "drain", "undrain"
)  # fmt: skip
MOST = 10_000
# Of the records of a rollout on a host, those that are told are a few.
SHARE = 40
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Wish:
    """lines: how many of each host. since: a moment, "" for any. whole: every step, not rollouts alone."""

    lines: int = 20
    since: str = ""
    whole: bool = False
    verify: bool = False


def read(environment: Environment, wish: Wish) -> tuple[dict[str, Any], dict[str, FabError]]:
    """The newest records by host, or with verify what each says of its chain; and who could not be read."""
    asked = (
        wish.lines if wish.whole and not wish.since else MOST if wish.since else min(MOST, wish.lines * SHARE)
    )
    words = ["journal", "--verify"] if wish.verify else ["journal", f"--lines={asked}"]
    with Fleet(environment) as fleet:
        outcomes = fleet.attempt(lambda remote: performed(remote, words)[0].result)
        missing = dict(fleet.unreachable)
    found = {}
    for name, value in outcomes.items():
        if isinstance(value, FabError):
            missing[name] = value
        else:
            found[name] = value if wish.verify else {"entries": chosen(value["entries"], wish)}
    return found, missing


def chosen(entries: list[dict[str, Any]], wish: Wish) -> list[dict[str, Any]]:
    """The records that are asked for, oldest first."""
    after = moment(wish.since)
    kept = [
        entry
        for entry in entries
        if (wish.whole or _is_told(entry))
        and (after is None or datetime.fromisoformat(entry["time"]) >= after)
    ]
    return kept[-wish.lines :]


def _is_told(entry: dict[str, Any]) -> bool:
    """A note of a rollout, or the end of what was done apart from one."""
    step = str(entry.get("step"))
    return step.partition(".")[0] in TOLD and entry.get("phase") != "begin"


def moment(since: str, now: datetime | None = None) -> datetime | None:
    """2h is two hours ago; a date or an ISO moment is UTC."""
    if not since:
        return None
    if since[-1] in UNITS:
        return (now or datetime.now(UTC)) - timedelta(**{UNITS[since[-1]]: int(since[:-1])})
    return datetime.fromisoformat(since).replace(tzinfo=UTC)


def show(found: dict[str, Any], wish: Wish, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"version": 1, "hosts": found}))
        return
    for name, value in found.items():
        if wish.verify:
            print(f"{name}: {value['verified']['lines']} lines, the chain is whole.")
            continue
        for entry in value["entries"]:
            details = json.dumps(entry.get("details") or {}, sort_keys=True)
            result = f" {entry['result']}" if entry.get("result") else ""
            who = f"{entry['time'][:19]}  {entry['who']}"
            print(f"{name}  {who}  {entry['step']}{result}  {entry.get('release') or ''}  {details}")
