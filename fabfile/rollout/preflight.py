"""What is looked at before a deploy changes anything: names, clocks, memory, the database and its newest backup."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fabfile.errors import FabError
from fabfile.hosts.environment import Environment
from fabfile.hosts.state import States
from fabfile.programs import zipped

if TYPE_CHECKING:
    from fabfile.database.toolbox.activity import Session

# Apart, or ahead, by more than a round trip and a clock that is being set explain.
CLOCK_SECONDS = 30.0
# Longer transactions than a migration waits for a lock at a time.
LONG_SECONDS = 2.0
MOST_SHOWN = 3
# A vacuum of the server's own gives way.
CLIENT = "client backend"


@dataclass(frozen=True)
class Found:
    """problems: why it cannot be done. notes: what is worth knowing. backup: of the newest one, a sentence."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    backup: str = ""


def names(release: str, states: States) -> list[str]:
    """What is odd about when it was built, by its name: a rollback goes by what was live, not by names."""
    built = datetime.strptime(release.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ahead = (built - datetime.now(UTC)).total_seconds()
    if ahead > CLOCK_SECONDS:
        return [
            f"{release} is from the future, by {ahead / 60:.0f} min: the clock of whoever built it was wrong"
        ]
    newer = sorted({state.live for state in states.values() if state.live and state.live > release})
    return [f"{release} was built before {', '.join(newer)}, which is live"] if newer else []


def clocks(states: States) -> list[str]:
    found = []
    for state in states.values():
        said = state.status.get("time")
        apart = (datetime.fromisoformat(said) - datetime.now(UTC)).total_seconds() if said else 0.0
        if abs(apart) > CLOCK_SECONDS:
            found.append(f"the clock of {state.name} is {apart:+.0f} s from this machine's")
    return found


def programs(states: States) -> list[str]:
    """Hosts whose slipway is not this fab's: a word that it does not know ends a rollout, and takes it back."""
    found = []
    for state in states.values():
        theirs = (state.status.get("program") or {}).get("digest")
        if theirs and not (ours := zipped.digest()).startswith(str(theirs)):
            found.append(
                f"{state.name}: its slipway is {theirs}, and this fab came with {ours}. To bring them together: "
                "ansible-playbook -i inventory/ENV site.yml"
            )
    return found


def memory(release: str, states: States) -> Found:
    """Whether a second instance fits beside the live one on each host: what that one takes now is the measure.

    What it may take at most (MemoryMax) is worth a note: few releases ever do.
    """
    found = Found()
    for state in states.values():
        told = state.status.get("memory") or {}
        used, free = dict(told.get("used") or {}), told.get("available")
        if not state.live or release in used or not isinstance(free, int):
            continue
        takes = int(used.pop(state.live, 0))
        # Whatever else runs is ended before the new one starts.
        room, most = free + sum(used.values()), told.get("most")
        has = f"{state.name} has {room / 1e6:.0f} MB of memory for a second release"
        if room < takes:
            found.problems.append(
                f"{has}, and the live one takes {takes / 1e6:.0f}: find out what takes the rest, or give the host more"
            )
        elif most and room + takes < 2 * most:
            found.notes.append(
                f"{has}; each may take {most / 1e6:.0f} (app_memory_max) before the kernel ends it, and two of them "
                "would not fit"
            )
    return found


def before_migrating(
    environment: Environment,
    backups: Callable[[Environment], Sequence[dict[str, Any]]] | None = None,
    sessions: Callable[[Environment], Sequence[Session]] | None = None,
) -> Found:
    """How old the newest backup is, and who would keep a migration waiting.

    Where the inventory asks for a backup (deploy_backup_hours), an older one, or none that could be seen, is in the
    way.
    """
    return _together(
        _backup(environment, backups or _listed), _long_transactions(environment, sessions or _sessions)
    )


def _together(one: Found, other: Found) -> Found:
    return Found(
        one.problems + other.problems,
        one.notes + other.notes,
        "; ".join(filter(None, (one.backup, other.backup))),
    )


def _backup(environment: Environment, listed: Callable[[Environment], Sequence[dict[str, Any]]]) -> Found:
    hours, make = environment.policy.backup_hours, f"fab db-backup --env {environment.name}"
    asked = f", and deploy_backup_hours is {hours:g}"
    try:
        newest = max(listed(environment), key=lambda record: str(record["at"]), default=None)
        age = None if newest is None else _hours(str(newest["at"]))
    except (FabError, KeyError, ValueError) as failure:
        said = f"how old the newest backup is cannot be told: {failure}"
        return Found([said + asked], backup=said) if hours else Found(backup=said)
    if newest is None or age is None:
        said = "there is no backup of the database"
        return Found([f"{said}{asked}: {make}"] if hours else [], backup=said)
    said = f"the newest backup is {age:.1f} h old ({newest['file']})"
    return Found([f"{said}{asked}: {make}"] if 0 < hours < age else [], backup=said)


def _hours(at: str) -> float:
    made = datetime.fromisoformat(at)
    return (datetime.now(UTC) - (made if made.tzinfo else made.replace(tzinfo=UTC))).total_seconds() / 3600


def _long_transactions(
    environment: Environment, sessions: Callable[[Environment], Sequence[Session]]
) -> Found:
    try:
        found = sessions(environment)
    except FabError as failure:
        return Found(notes=[f"who would keep a migration waiting cannot be told: {failure}"])
    long = [
        each
        for each in found
        if (each.transaction_seconds or 0) > LONG_SECONDS and each.backend_type == CLIENT
    ]
    long.sort(key=lambda each: -(each.transaction_seconds or 0))
    return Found(
        notes=[
            f"a migration may have to wait for pid {each.pid} ({_who(each)}), in a transaction for "
            f"{each.transaction_seconds:.0f} s: fab db-activity --env {environment.name}"
            for each in long[:MOST_SHOWN]
        ]
    )


def _who(session: Session) -> str:
    from fabfile.database import texts

    return ", ".join(texts.plain(text, 40) for text in (session.role, session.application) if text)


def _listed(environment: Environment) -> Sequence[dict[str, Any]]:
    from fabfile import backups

    found: Sequence[dict[str, Any]] = backups.listed(environment)["result"]
    return found


def _sessions(environment: Environment) -> Sequence[Session]:
    from fabfile.database.asking.connection import looking
    from fabfile.database.toolbox import activity

    with looking(environment, application="slipway deploy") as connection:
        database = connection.info.dbname
        return [each for each in activity.read(connection) if each.database == database]
