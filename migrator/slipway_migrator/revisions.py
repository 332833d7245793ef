"""The revisions that a service carries, as Alembic reads them: whatever an environment can say, and steps to take."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from slipway_migrator.errors import MigrationError
from slipway_migrator.order import KINDS, Order, Revision


class Revisions:
    """Read once from disk; `in_order` has the first one first, branches that were merged one after the other.

    Raises MigrationError when there is not one head, or when one says a kind that is none.
    """

    def __init__(self, config: Config) -> None:
        self.script = ScriptDirectory.from_config(config)
        heads = self.script.get_heads()
        if len(heads) != 1:
            found = f"{len(heads)} heads ({', '.join(heads)}): merge them" if heads else "no revision"
            raise MigrationError(f"The migrations have {found}.")
        self.order = Order(tuple(_in_a_row(reversed(list(self.script.walk_revisions())))))
        self.head, self.in_order, self.known = heads[0], self.order.in_order, self.order.known

    @classmethod
    def below(cls, folder: Path) -> "Revisions":
        """Of a folder with env.py, for who only reads."""
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        return cls(config)

    def up_to(self, heads: Iterable[str]) -> tuple[Revision, ...]:
        """The revisions that are applied when the database is on heads; none for none, which is an empty schema."""
        wanted = tuple(heads)
        applied = (
            {each.revision for each in self.script.iterate_revisions(wanted, "base")} if wanted else set()
        )
        return tuple(each for each in self.in_order if each.revision in applied)

    def undeclared(self, names: Iterable[str]) -> list[str]:
        """Those of names that do not say their kind."""
        wanted = set(names)
        return [each.revision for each in self.in_order if each.revision in wanted and not each.declared]

    def pending(self, heads: tuple[str, ...]) -> list[Any]:
        """Alembic's steps from heads to the last revision."""
        return list(self.script._upgrade_revs(self.head, heads))  # type: ignore[arg-type]

    def to_take(self, heads: tuple[str, ...], contract: bool) -> list[Any]:
        """Those of them that a migration takes: before the first contract revision, unless told to contract.

        An empty schema has no release that needs an old shape: it goes to the head. In a branch a migration does
        not stop, since a release can be judged on one revision alone.
        """
        steps = self.pending(heads)
        if not heads or contract:
            return steps
        kinds = {each.revision: each.kind for each in self.in_order}
        now, ends = set(heads), 0
        for number, step in enumerate(steps, start=1):
            script = step.revision
            if kinds[script.revision] == "contract":
                break
            now = now.difference(_parents(script)) | {script.revision}
            ends = number if len(now) == 1 else ends
        return steps[:ends]


def _parents(script: Script) -> tuple[str, ...]:
    down = script.down_revision
    return () if down is None else (down,) if isinstance(down, str) else tuple(down)


def _in_a_row(scripts: Iterable[Script]) -> Iterator[Revision]:
    before: str | None = None
    for script in scripts:
        kind = getattr(script.module, "kind", None)
        if kind is not None and kind not in KINDS:
            raise MigrationError(
                f"The revision {script.revision} ({Path(script.path).name}) declares the kind {kind!r}: "
                "it must be 'expand', if the previous release can run on it, or 'contract'."
            )
        yield Revision(script.revision, before, kind or "contract", kind is not None)
        before = script.revision
