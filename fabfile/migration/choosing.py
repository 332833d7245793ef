"""Which of a release's revisions a migration applies to a database, and why it would be refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fabfile import schema
from fabfile.errors import RefusedError
from fabfile.hosts.state import States
from fabfile.schema import Revision


@dataclass(frozen=True)
class Wish:
    """release: whose revisions, the live one's when empty. contract: also those that take away. wait: seconds.

    timeout: seconds to watch it, None for the environment's; it goes on after them. without: hosts to go on
    without; whether a kept release there needs the old shape is not looked at.
    """

    release: str = ""
    contract: bool = False
    backup: bool = True
    ticket: str = ""
    wait: float = 0.0
    timeout: float | None = None
    without: Sequence[str] = ()


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
    chain = schema.of_manifest(first.releases[release])
    return release, chain, applied_of(states, release, chain)


def applied_of(states: States, release: str, chain: Sequence[Revision]) -> str | None:
    """The revision that the database is on, None for an empty schema. Raises RefusedError for one not in the chain."""
    applied = next((found.schema_applied for found in states.values() if found.schema_applied), None)
    if applied is not None and applied not in {revision.id for revision in chain}:
        raise RefusedError(
            f"The database is on the revision {applied}, which {release} does not know: only the release that "
            "brought it, or a later one, can migrate it. Nothing was changed."
        )
    return applied


def checked(states: States, wish: Wish) -> tuple[str, list[Revision], str | None]:
    """Release, what will be applied, the revision the database is on. Raises RefusedError before anything changes."""
    release, chain, applied = chosen(states, wish)
    waiting = schema.pending(chain, applied)
    held = schema.held_back(waiting, applied)
    if wish.contract and held:
        _require_nobody_behind(states, release, chain, applied)
        return release, waiting, applied
    return release, [revision for revision in waiting if revision not in held], applied


def held_back(states: States, release: str, applied: str | None) -> list[str]:
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
