"""`fab migrate`: a release's pending revisions, applied once, on one host; those that take away only when told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fabfile import backups, record, schema, state
from fabfile.deploy import MIGRATE_SECONDS
from fabfile.environment import Environment
from fabfile.errors import FabError, RefusedError
from fabfile.fleet import Fleet, performed
from fabfile.lease import Claim, Lease, acquire, beating
from fabfile.report import Report
from fabfile.rollout import GRACE_SECONDS
from fabfile.schema import Revision
from fabfile.state import States

BackupPoint = Callable[[Environment, str], str]


@dataclass(frozen=True)
class Wish:
    """release: whose revisions, the live one's when empty. contract: also those that take away. wait: seconds."""

    release: str = ""
    contract: bool = False
    backup: bool = True
    ticket: str = ""
    wait: float = 0.0


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
            release, waiting, applied = _checked(states, wish)
            if not waiting:
                return Migrated(release, applied, str(applied), _held_back(states, release, applied))
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
    release, waiting, applied = _checked(states, wish)
    lines = [f"{environment.name} is on {applied or 'an empty schema'}; {release} would apply:"]
    lines += [f"  {each.id} {each.title} ({each.kind})" for each in waiting] or ["  nothing"]
    held = [
        name for name in _held_back(states, release, applied) if name not in {each.id for each in waiting}
    ]
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


def chosen(states: States, wish: Wish) -> tuple[str, list[Revision], str | None]:
    """Release, its revisions, the one the database is on. Raises RefusedError when it cannot be migrated to it."""
    live = {found.live for found in states.values()}
    release = wish.release or (next(iter(live)) if len(live) == 1 else None)
    if not release:
        raise RefusedError(
            "The hosts do not serve one release, so there is none to take the revisions of. Type: fab recover; "
            "or name one: --release ID. Nothing was changed."
        )
    first = next(iter(states.values()))
    if first.state_of(release) in ("missing", "half-built"):
        raise RefusedError(
            f"{release} is not on {first.name}, whose copy would be asked. Type: fab releases. Nothing was changed."
        )
    applied = next((found.schema_applied for found in states.values() if found.schema_applied), None)
    chain = schema.of_manifest(first.releases[release])
    if applied is not None and applied not in {revision.id for revision in chain}:
        raise RefusedError(
            f"The database is on the revision {applied}, which {release} does not know: only the release that "
            "brought it, or a later one, can migrate it. Nothing was changed."
        )
    return release, chain, applied


def _checked(states: States, wish: Wish) -> tuple[str, list[Revision], str | None]:
    """Release, what will be applied, the revision the database is on. Raises RefusedError before anything changes."""
    release, chain, applied = chosen(states, wish)
    waiting = schema.pending(chain, applied)
    held = schema.held_back(waiting, applied)
    if wish.contract and held:
        _require_nobody_behind(states, release, chain, applied)
        return release, waiting, applied
    return release, [revision for revision in waiting if revision not in held], applied


def _held_back(states: States, release: str, applied: str | None) -> list[str]:
    chain = schema.of_manifest(next(iter(states.values())).releases[release])
    return [revision.id for revision in schema.held_back(schema.pending(chain, applied), applied)]


def _require_nobody_behind(states: States, release: str, chain: list[Revision], applied: str | None) -> None:
    told = []
    for found in states.values():
        kept = {
            name: str(row.get("schema_head"))
            for name, row in found.releases.items()
            if name != release and row["state"] not in ("bad", "half-built")
        }
        for name, revision in schema.needing_the_old_shape(kept, chain, applied).items():
            told.append(f"{found.name}: {name} needs what {revision.id} ({revision.title}) takes away")
    if told:
        raise RefusedError(
            "Kept releases need the old shape, and a rollback could go to them:\n"
            + "\n".join(told)
            + "\nNothing was changed. Deploy once more, so that the release to go back to can do without; then: "
            "fab prune --keep 1"
        )
