"""`fab migrate`: a release's pending revisions, applied once, on one host; those that take away only when told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fabfile import backups
from fabfile.errors import FabError, FencedError, UnfinishedError
from fabfile.hosts import state
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import AnswerError, Fleet, performed
from fabfile.hosts.state import States
from fabfile.interruption import in_order, shielded
from fabfile.migration.choosing import Wish, checked, held_back
from fabfile.migration.following import following
from fabfile.report import Report
from fabfile.turn import record
from fabfile.turn.lease import Claim, Lease, holding
from fabfile.turn.steps import GRACE_SECONDS

# What the host says when it stopped waiting and the unit goes on.
GOES_ON = ("migration-timeout", "interrupted")
BackupPoint = Callable[[Environment, str], str]
RestorePoint = Callable[[Environment, str, str], str]


@dataclass(frozen=True)
class Migrated:
    """release: whose revisions. origin, target: the schema before and after. held_back: what waits for --contract."""

    release: str
    origin: str | None
    target: str
    held_back: list[str]
    backup: str = ""


def migrate(
    environment: Environment, report: Report, wish: Wish, backup_point: BackupPoint = backups.backup_point,
    restore_point: RestorePoint = backups.restore_point,
) -> Migrated:  # fmt: skip
    """Bring the database to a release's schema. Raises FabError; what it says is how the schema is then."""
    claim = Claim(environment.name, wish.ticket)
    with in_order(), Fleet(environment, wish.without) as fleet:
        fleet.require_all()
        fleet.first.require_sessions()
        with holding(fleet, claim, wish.wait) as (lease, states):
            settled = _settled(fleet, lease, report, states, _patience(environment, wish))
            release, waiting, applied = checked(settled, wish)
            if not waiting:
                return Migrated(release, applied, str(applied), held_back(settled, release, applied))
            saved = ""
            if wish.backup:
                report.step("backup", f"before {waiting[0].id}")
                saved = backup_point(environment, f"before {waiting[0].id} of {release}")
                lease.check()
            if any(each.kind == "contract" for each in waiting):
                # What it takes away is there, up to this moment, in the WAL.
                named = f"before-{waiting[0].id}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
                point = restore_point(environment, named, f"before {waiting[0].id} of {release}")
                lease.check()
                if point:
                    report.step("restore point", point)
                    saved = f"{saved} {point}".strip()
            report.step("migrate", "; ".join(f"{each.id} {each.title} ({each.kind})" for each in waiting))
            titles = {each.id: f"{each.title} ({each.kind})" for each in waiting}
            with following(
                fleet.first, environment.app, release, partial(report.told, fleet.first.name), titles
            ):
                return _perform(fleet, lease, release, wish, saved)


def _patience(environment: Environment, wish: Wish) -> float:
    """Seconds to watch; a migration has no limit of its own."""
    return environment.policy.migrate if wish.timeout is None else wish.timeout


def plan(environment: Environment, wish: Wish) -> str:
    """What a migration would apply, and what it would leave. Raises RefusedError where it would be refused."""
    with Fleet(environment, wish.without) as fleet:
        fleet.require_all()
        states = state.read(fleet)
    release, waiting, applied = checked(states, wish)
    lines = [f"{environment.name} is on {applied or 'an empty schema'}; {release} would apply:"]
    lines += [f"  {each.id} {each.title} ({each.kind})" for each in waiting] or ["  nothing"]
    held = [name for name in held_back(states, release, applied) if name not in {each.id for each in waiting}]
    lines += [f"  {name} is left to: fab migrate --contract" for name in held]
    return "\n".join(lines)


def _settled(fleet: Fleet, lease: Lease, report: Report, states: States, seconds: float) -> States:
    """The states when no migration is left of which nobody saw the end; one that still runs is watched to its end."""
    left = states[fleet.first.name].status.get("migration")
    if not left:
        return states
    first, release, began = fleet.first, str(left["release"]), datetime.fromisoformat(left["began"])
    how = "still runs" if left["running"] else "has ended, and nobody saw how"
    report.step(
        "migrate", f"that of {release}, begun by {left['by']} at {began:%Y-%m-%d %H:%M:%S} UTC, {how}"
    )
    words = ["migrate", release, "--watch", f"--timeout={seconds:g}"]
    words += [*lease.fenced, f"--wait={seconds:g}"]
    try:
        app = fleet.environment.app
        with following(first, app, release, partial(report.told, first.name), since=began.timestamp()):
            (answer,) = performed(first, words, seconds=2 * seconds + GRACE_SECONDS)
    except AnswerError as failure:
        if failure.answer.code != "migration-failed":
            raise
        report.told(first.name, str(failure.answer.message).partition("\n")[0])
    else:
        report.told(first.name, f"it ended well, on {answer.result.get('to') or 'what it had'}")
    lease.check()
    return state.read(fleet)


def _perform(fleet: Fleet, lease: Lease, release: str, wish: Wish, saved: str) -> Migrated:
    told = {"contract": wish.contract, "ticket": wish.ticket, "backup": saved}
    record.everywhere(fleet, lease, "migrate.begin", release, **told)
    seconds = _patience(fleet.environment, wish)
    words = ["migrate", release, f"--timeout={seconds:g}", *lease.words]
    words += ["--contract"] if wish.contract else []
    try:
        (answer,) = performed(fleet.first, words, seconds=seconds + GRACE_SECONDS)
    except FencedError:
        raise
    except FabError as failure:
        ended = record.words("migrate.end", release, result="failed", error=str(failure))
        # How it ended is in the first host's own record; this one is as good as can be had.
        with shielded():
            fleet.attempt(lambda remote: performed(remote, [*ended, *lease.words]))
        if isinstance(failure, AnswerError) and failure.answer.code not in GOES_ON:
            raise
        raise UnfinishedError(
            f"{failure}\nThe migration of {release} needs nobody who watches: it goes on in its "
            f"unit on {fleet.first.name}, each revision whole or not at all, and the traffic is untouched. To see how "
            f"it ends, and to go on from there: fab migrate --env {fleet.environment.name}"
        ) from None
    done: dict[str, Any] = answer.result
    outcome = {name: done.get(name) for name in ("from", "to", "held_back")}
    record.everywhere(fleet, lease, "migrate.end", release, result="ok", **outcome)
    return Migrated(release, done.get("from"), str(done.get("to")), list(done.get("held_back") or []), saved)
