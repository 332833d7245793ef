"""The schema window: which releases can run on the schema that the database has.

A release runs on its own head, and on any later revision that is reached from it by expanding ones alone. Contracting
ones at the end of its own revisions may be missing: they are applied when no kept release needs the old shape any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Revision:
    """kind: "expand" when the releases before it keep working on it, else "contract"."""

    id: str
    kind: str
    title: str = ""


def of_manifest(manifest: dict[str, Any]) -> list[Revision]:
    """The revisions of a release, oldest first; a release built before they were listed has none."""
    return [Revision(**each) for each in manifest.get("schema_revisions") or []]


def pending(chain: Sequence[Revision], applied: str | None) -> list[Revision]:
    """What a migration to the end of the chain would apply."""
    ids = [revision.id for revision in chain]
    return list(chain[ids.index(applied) + 1 :]) if applied in ids else list(chain) if applied is None else []


def contracting(revisions: Sequence[Revision]) -> list[Revision]:
    """Those that take away what releases before them need."""
    return [revision for revision in revisions if revision.kind != "expand"]


def held_back(waiting: Sequence[Revision], applied: str | None) -> list[Revision]:
    """What a deploy leaves to `fab migrate --contract`: all from the first contracting one on.

    waiting: the pending ones. An empty schema has no release that needs an old shape; it gets everything.
    """
    contracts = contracting(waiting) if applied is not None else []
    return list(waiting[waiting.index(contracts[0]) :]) if contracts else []


def needing_the_old_shape(
    heads: dict[str, str], chain: Sequence[Revision], applied: str | None
) -> dict[str, Revision]:
    """The first pending contracting revision that each release cannot live with. heads: schema heads by release."""
    ids = [revision.id for revision in chain]
    found: dict[str, Revision] = {}
    for release, head in heads.items():
        after = chain[ids.index(head) + 1 :] if head in ids else []
        for revision in contracting([each for each in pending(chain, applied) if each in after]):
            found.setdefault(release, revision)
    return found


def outside(head: str | None, applied: str | None, chains: Sequence[Sequence[Revision]]) -> str:
    """Why a release with this head cannot run on the applied revision; nothing when it can.

    head: None of one that has no migrations. chains: of all releases at hand; one of them knows what has been applied.
    """
    if head is None or applied is None or head == applied:
        return ""
    for chain in chains:
        ids = [revision.id for revision in chain]
        if head not in ids or applied not in ids:
            continue
        missing = chain[ids.index(applied) + 1 : ids.index(head) + 1]
        if any(revision.kind == "expand" for revision in missing):
            return f"it needs the schema {head}, and the database is on the earlier {applied}: migrate first"
        contracts = contracting(chain[ids.index(head) + 1 : ids.index(applied) + 1])
        if contracts:
            named = ", ".join(f"{revision.id} ({revision.title})" for revision in contracts)
            return (
                f"the database is on {applied}, and {named} took away what it needs. "
                "Deploy a release that knows this schema, with the change you want undone reverted in its code"
            )
        return ""
    return f"nothing here knows how the schema {applied} came from {head}"
