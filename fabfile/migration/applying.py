"""`fab migrate`: a release's pending revisions, applied once, on one host; those that take away only when told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fabfile import backups, record, state
from fabfile.deploy import MIGRATE_SECONDS
from fabfile.environment import Environment
from fabfile.errors import FabError
from fabfile.fleet import Fleet, performed
from fabfile.lease import Claim, Lease, acquire, beating
from fabfile.migration.choosing import Wish, checked, held_back
from fabfile.report import Report
from fabfile.rollout import GRACE_SECONDS

BackupPoint = Callable[[Environment, str], str]


@dataclass(frozen=True)
class Migrated:
    """release: whose revisions. origin, target: the schema before and after. held_back: what waits for --contract."""

    release: str
    origin: str | None
    target: str
    held_back: list[str]
    backup: str = ""


def migrate(
    environment: Environment, report: Report, wish: Wish, backup_point: BackupPoint = backups.backup_point
) -> Migrated:
    """Bring the database to a release's schema. Raises FabError; what it says is how the schema is then."""
    with Fleet(environment) as fleet:
        fleet.require_all()
        lease, answers = acquire(fleet.first, Claim(environment.name, wish.ticket), wish.wait, *state.READING)
        with beating(lease):
            states = state.read_others(fleet, answers)
            release, waiting, applied = checked(states, wish)
            if not waiting:
                return Migrated(release, applied, str(applied), held_back(states, release, applied))
            saved = ""
            if wish.backup:
                report.step("backup", f"before {waiting[0].id}")
                saved = backup_point(environment, f"before {waiting[0].id} of {release}")
                lease.check()
            report.step("migrate", "; ".join(f"{each.id} {each.title} ({each.kind})" for each in waiting))
            return _perform(fleet, lease, release, wish, saved)


def plan(environment: Environment, wish: Wish) -> str:
    """What a migration would apply, and what it would leave. Raises RefusedError where it would be refused."""
    with Fleet(environment) as fleet:
        fleet.require_all()
        states = state.read(fleet)
    release, waiting, applied = checked(states, wish)
    lines = [f"{environment.name} is on {applied or 'an empty schema'}; {release} would apply:"]
    lines += [f"  {each.id} {each.title} ({each.kind})" for each in waiting] or ["  nothing"]
    held = [name for name in held_back(states, release, applied) if name not in {each.id for each in waiting}]
    lines += [f"  {name} is left to: fab migrate --contract" for name in held]
    return "\n".join(lines)


def _perform(fleet: Fleet, lease: Lease, release: str, wish: Wish, saved: str) -> Migrated:
    told = {"contract": wish.contract, "ticket": wish.ticket, "backup": saved}
    record.everywhere(fleet, lease, "migrate.begin", release, **told)
    words = ["migrate", release, f"--timeout={MIGRATE_SECONDS:g}", *lease.words]
    words += ["--contract"] if wish.contract else []
    try:
        done: dict[str, Any] = performed(fleet.first, words, seconds=MIGRATE_SECONDS + GRACE_SECONDS)[
            0
        ].result
    except FabError as failure:
        record.everywhere(fleet, lease, "migrate.end", release, result="failed", error=str(failure))
        raise
    outcome = {name: done.get(name) for name in ("from", "to", "held_back")}
    record.everywhere(fleet, lease, "migrate.end", release, result="ok", **outcome)
    return Migrated(release, done.get("from"), str(done.get("to")), list(done.get("held_back") or []), saved)
