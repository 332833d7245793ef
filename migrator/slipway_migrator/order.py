"""The revisions that a service carries, in one order, and what each means for releases that lack it.

A worker asks this at its start, so it is read from the files' text where that says it all: Alembic alone costs as much
as a tenth of a service's start.
"""

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

KINDS = ("expand", "contract")
# What a revision's place depends on; whoever says more of it than text can is left to Alembic.
NAMES = ("revision", "down_revision", "branch_labels", "depends_on", "kind")


@dataclass(frozen=True)
class Revision:
    """down_revision: the one before it in this order. kind: "expand" when releases that lack it can run on it.

    declared: False when the revision does not say its kind, and so counts as "contract".
    """

    revision: str
    down_revision: str | None
    kind: Literal["expand", "contract"]
    declared: bool = field(default=True, compare=False)


@dataclass(frozen=True)
class Order:
    """in_order has the first revision first, branches that were merged one after the other."""

    in_order: tuple[Revision, ...]

    @property
    def head(self) -> str:
        return self.in_order[-1].revision

    @property
    def known(self) -> frozenset[str]:
        return frozenset(each.revision for each in self.in_order)

    def suffices(self, revision: str | None) -> bool:
        """Whether this release can run on one of its own revisions: all that it adds to is there.

        What its last revisions take away is taken once no other release needs it, while this one serves.
        """
        names = [each.revision for each in self.in_order]
        if revision not in names:
            return False
        return all(each.kind == "contract" for each in self.in_order[names.index(revision) + 1 :])


def in_text(folder: Path) -> Order | None:
    """Of a folder with env.py, as the text of its revisions has it; None where that leaves a question open."""
    try:
        found = [
            _said(path) for path in sorted((folder / "versions").glob("*.py")) if path.name[0] not in "._"
        ]
    except (OSError, ValueError, SyntaxError):
        return None
    following = {said.get("down_revision"): said for said in found}
    order: list[Revision] = []
    before: str | None = None
    while (said := following.pop(before, None)) is not None:
        revision, kind = said.get("revision"), said.get("kind")
        plain = not said.get("branch_labels") and not said.get("depends_on") and kind in (None, *KINDS)
        if not isinstance(revision, str) or not plain:
            return None
        order.append(
            Revision(
                revision, before, cast(Literal["expand", "contract"], kind or "contract"), kind is not None
            )
        )
        before = revision
    # Each stands behind another, each once.
    return Order(tuple(order)) if order and len(order) == len(found) else None


def _said(path: Path) -> dict[str, Any]:
    """The names that a file gives a literal, at its top and once. Raises ValueError for one that it gives otherwise."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    given = [
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    said: dict[str, Any] = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) and node.value else targets
        for target in targets:
            if isinstance(target, ast.Name) and target.id in NAMES:
                said[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
    if any(given.count(name) != (name in said) for name in NAMES):
        raise ValueError(f"{path} does not say plainly which revision it is")
    if not isinstance(said.get("down_revision"), str | None):
        raise ValueError(f"{path} follows several")
    return said
