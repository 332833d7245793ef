"""`fab migrate-plan`: what the pending revisions of a release would lock, for whom, and what is against them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import psycopg

from fabfile import schema
from fabfile.database import texts, units
from fabfile.database.asking.connection import looking
from fabfile.database.toolbox import reading
from fabfile.errors import FabError
from fabfile.hosts import state
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet
from fabfile.migration import lint, statements, waivers
from fabfile.migration.choosing import Wish, applied_of, chosen
from fabfile.migration.lint import Problem
from fabfile.migration.source import Candidate
from fabfile.migration.statements import Effect
from fabfile.migration.waivers import Waiver
from fabfile.schema import Revision

# Longer transactions than a migration waits for a lock at a time.
LONG_SECONDS = 2.0
LONGEST_SHOWN = 160


@dataclass(frozen=True)
class TableInUse:
    """A table as it is now. pid, role, application, seconds: of the oldest transaction that has touched it."""

    name: str
    bytes: int
    rows: int
    pid: int | None
    role: str
    application: str
    seconds: float


@dataclass(frozen=True)
class Step:
    """One pending revision. held_back: whether a deploy leaves it."""

    revision: Revision
    held_back: bool
    sql: str
    effects: list[Effect]
    problems: list[Problem]

    @property
    def lock(self) -> str:
        return statements.strongest(self.effects)


@dataclass(frozen=True)
class Plan:
    """tables: those that are locked, by name. problems: unaccepted ones of no pending revision, such as old waivers.

    missing: who did not answer, and why; what only they know is left out.
    """

    environment: str
    release: str
    applied: str | None
    steps: list[Step]
    tables: dict[str, TableInUse]
    problems: list[Problem] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.problems and not any(step.problems for step in self.steps)

    def as_json(self) -> str:
        """Everything, as one JSON object with a version."""
        steps = [{**asdict(step), "lock": step.lock} for step in self.steps]
        return json.dumps({"version": 1, **asdict(self), "steps": steps, "clean": self.is_clean}, indent=2)


def make(environment: Environment, release: str = "", candidate: Candidate | None = None) -> Plan:
    """The plan of a release that is on the first app host, the live one's when empty; or of one that no host has.

    Raises FabError where nobody answers who has to.
    """
    with Fleet(environment) as fleet:
        states, away = state.read_some(fleet)
        fleet.remotes = [remote for remote in fleet.remotes if remote.name in states]
        if candidate is None:
            named, chain, applied = chosen(states, Wish(release))
            sql, accepted = _sql(fleet, environment, named), waivers.load()
        else:
            named, chain, sql, accepted = candidate.name, candidate.chain, candidate.sql, candidate.waivers
            applied = applied_of(states, named, chain)
    waiting = schema.pending(chain, applied)
    steps, rest = judged(chain, waiting, schema.held_back(waiting, applied), sql, accepted)
    names = sorted({effect.table for step in steps for effect in step.effects})
    missing = [str(failure) for failure in away.values()]
    tables: dict[str, TableInUse] = {}
    try:
        with looking(environment, application="slipway migrate-plan") as connection:
            tables = in_use(connection, environment.app, names)
    except FabError as failure:
        missing.append(f"How large the tables are, and who uses them, is not known: {failure}")
    return Plan(environment.name, named, applied, steps, tables, rest, missing)


def judged(
    chain: Sequence[Revision],
    waiting: Sequence[Revision],
    held: Sequence[Revision],
    sql: dict[str, str],
    accepted: Sequence[Waiver],
) -> tuple[list[Step], list[Problem]]:
    """The pending revisions with what is found about each; and what is left that is about none of them."""
    found = [problem for revision in chain for problem in lint.problems(revision, sql[revision.id])]
    known = {revision.id for revision in chain}
    left = waivers.remaining(found, accepted, known, date.today())
    ids = {revision.id for revision in waiting}
    steps = [
        Step(
            revision,
            revision in held,
            sql[revision.id],
            statements.effects(sql[revision.id]),
            [problem for problem in left if problem.revision == revision.id],
        )
        for revision in waiting
    ]
    # What is applied already cannot be mended; a waiver for nothing can be removed.
    return steps, [problem for problem in left if problem.revision not in known | ids]


def in_use(connection: psycopg.Connection[Any], schema: str, names: Sequence[str]) -> dict[str, TableInUse]:
    """The tables that exist of these, by name."""
    with reading.sentences("The tables of the migration"):
        rows = reading.rows(connection, TableInUse, "tables_in_use", {"schema": schema, "names": list(names)})
    return {row.name: row for row in rows}


def _sql(fleet: Fleet, environment: Environment, release: str) -> dict[str, str]:
    """What each revision would send, from the release's own environment on the first app host."""
    app = environment.app
    programs = f"/srv/{app}/releases/{release}/venv/bin"
    settings = shlex.join(f"{name}={value}" for name, value in environment.settings.items())
    # One from before the migrator was a package of its own has it in its command line.
    command = (
        f"migrator={programs}/slipway-migrator; [ -x $migrator ] || migrator={programs}/{app}; "
        f"env {settings} $migrator schema --sql"
    )
    done = fleet.first.connection.run(command, hide=True, warn=True, timeout=60, in_stream=False)
    if done.return_code != 0:
        reason = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise FabError(
            f"{release} on {fleet.first.name} does not say its SQL ({reason}); one from before this command cannot. "
            "Nothing was changed."
        )
    return {row["revision"]: row["sql"] for row in json.loads(done.stdout)["revisions"]}


def text(plan: Plan, with_sql: bool = False) -> str:
    """The plan for a person. with_sql: each revision's whole SQL below it."""
    on = plan.applied or "an empty schema"
    lines = [f"{plan.environment} is on {on}; {plan.release} would apply:" if plan.steps else ""]
    if not plan.steps:
        lines = [f"{plan.environment} is on {on}; {plan.release} has nothing to apply."]
    for step in plan.steps:
        waits = ", left to fab migrate --contract" if step.held_back else ""
        lines += ["", f"{step.revision.id}  {step.revision.title}  ({step.revision.kind}{waits})"]
        lines += [_line(effect, plan.tables) for effect in step.effects] or ["  locks nothing that is there"]
        lines += [f"  FOUND {problem.rule}: {problem.sentence}" for problem in step.problems]
        lines += [f"    {_shown(line)}".rstrip() for line in step.sql.splitlines()] if with_sql else []
    lines += [f"FOUND {problem.rule}: {problem.sentence}" for problem in plan.problems]
    lines += _in_the_way(plan)
    lines += ["", "NOT ASKED:", *(f"  {failure}" for failure in plan.missing)] if plan.missing else []
    return "\n".join(lines)


def _shown(line: str) -> str:
    """A line of SQL with its indentation, and nothing that acts on a terminal."""
    return " " * (len(line) - len(line.lstrip(" "))) + texts.plain(line)


SAYS: dict[str, Callable[[str], str]] = {
    statements.SCANS: lambda size: f", and reads all of it{size}",
    statements.REWRITES: lambda size: f", and writes all of it anew{size}",
    statements.CHANGES_ROWS: lambda size: f", and changes its rows{size}",
}


def _line(effect: Effect, tables: dict[str, TableInUse]) -> str:
    if effect.effect == statements.HIDDEN:
        return f"  a block of code, whose locks cannot be told: {texts.plain(effect.sql, LONGEST_SHOWN)}"
    table = tables.get(effect.table)
    size = f" ({units.count(table.rows)} rows, {units.size(table.bytes)})" if table else ""
    said = SAYS[effect.effect](size) if effect.effect else size
    return f"  {effect.lock} on {effect.table}{said}: {texts.plain(effect.sql, LONGEST_SHOWN)}"


def _in_the_way(plan: Plan) -> list[str]:
    long = [table for table in plan.tables.values() if table.pid and table.seconds > LONG_SECONDS]
    said = [
        f"  {table.name}: pid {table.pid} ({texts.plain(table.role, 40)}, {texts.plain(table.application, 40)}), "
        f"in a transaction for {units.duration(table.seconds)}. Look: fab db-activity --env {plan.environment}"
        for table in long
    ]
    return ["", "In the way now:", *said] if said else []
