"""`fab migrate`, `migrate-plan`, `migrate-history`: the schema, apart from a deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Context, Exit, task

from fabfile import report
from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.database_toolbox import JSON, LIMIT
from fabfile.tasks.rollouts import ENV, TICKET, WAIT, WITHOUT, YES

if TYPE_CHECKING:
    from fabfile.hosts.environment import Environment
    from fabfile.migration.applying import Migrated
    from fabfile.migration.source import Candidate

MOST = 10_000
# What a reading task ends with that found something; 1 is a fault of fab's.
FOUND = 3


@task(
    help={
        "env": ENV,
        "release": "whose revisions; without it the live release's",
        "contract": "apply revisions, too, that take away what releases before them need",
        "backup": "dump the database first (--no-backup: do not)",
        "plan": "say what would be applied and what is in the way, and do nothing",
        "yes": YES,
        "ticket": TICKET,
        "wait": WAIT,
        "timeout": "seconds to watch it; it goes on by itself after them; without it the environment's",
        "without": WITHOUT,
    }
)
def migrate(
    _context: Context,
    env: str = "",
    release: str = "",
    contract: bool = False,
    backup: bool = True,
    plan: bool = False,
    yes: bool = False,
    ticket: str = "",
    wait: int = 0,
    timeout: str = "",
    without: str = "",
) -> None:
    """Apply the pending revisions of a release, once, waiting for no lock longer than two seconds at a time."""
    with running.sentences():
        running.release_id(release)
        running.checked("a ticket", ticket, running.TICKET, "OPS-123")
        running.checked("a number of seconds", timeout, running.LONG, "7200")
        apart = running.hosts(without)
        environment = running.chosen(env, yes or plan, "Migrating")
        from fabfile.migration import applying, choosing

        watched = float(timeout) if timeout else None
        wish = choosing.Wish(release, contract, backup, ticket, float(wait), watched, apart)
        if plan:
            print(applying.plan(environment, wish))
            return
        with report.of([host.name for host in environment.app_hosts]) as told:
            done = applying.migrate(environment, told, wish)
        print(_said(environment.name, done))


@task(
    help={
        "env": ENV,
        "release": "whose revisions, of those that the hosts have; without it the live release's",
        "ref": "a commit, tag or branch instead: its own code says its SQL, here",
        "bundle": "a bundle that was built before instead, likewise",
        "tree": "the files here instead; in the lab also when they are not as committed",
        "sql": "each revision's whole SQL as well",
        "json": "one JSON object instead of lines, with the SQL",
    }
)
def migrate_plan(
    _context: Context,
    env: str = "",
    release: str = "",
    ref: str = "",
    bundle: str = "",
    tree: bool = False,
    sql: bool = False,
    json: bool = False,
) -> None:
    """What each pending revision locks, reads and writes, how large that is, and what speaks against it."""
    with running.sentences():
        running.release_id(release)
        running.checked("a commit", ref, running.REF, "main, v1.2 or 3f2a9c1")
        if sum(map(bool, (release, ref, bundle, tree))) > 1:
            raise RefusedError("Give one of --release, --ref, --bundle and --tree. Nothing was changed.")
        environment = running.chosen(env)
        from fabfile.migration import planning

        candidate = _candidate(environment, ref, bundle, tree)
        plan = planning.make(environment, release, candidate)
        print(plan.as_json() if json else planning.text(plan, sql))
        if plan.missing or not plan.is_clean:
            raise Exit(code=FOUND)


@task(help={"env": ENV, "limit": LIMIT, "json": JSON})
def migrate_history(_context: Context, env: str = "", limit: int = 50, json: bool = False) -> None:
    """The revisions that are applied and the tries that failed: when, how long, under which lock, by whom."""
    with running.sentences():
        if not 1 <= limit <= MOST:
            raise RefusedError(f"--limit {limit} is not a number from 1 to {MOST}.")
        environment = running.chosen(env)
        from fabfile.database.screen import terminal
        from fabfile.database.toolbox import screen
        from fabfile.migration import history

        found = history.read(environment, limit)
        if json:
            print(found.as_json())
        else:
            out = terminal.console()
            out.print(screen.tables_of(history.as_reading(found), out))
        if found.unread:
            raise Exit(code=3)


def _candidate(environment: Environment, ref: str, bundle: str, tree: bool) -> Candidate | None:
    """A release that no host has yet; None when one on the hosts is meant."""
    from fabfile.bundle import origin
    from fabfile.migration import source

    settings = environment.settings
    if bundle:
        return source.of_bundle(running.bundle(bundle), settings=settings)
    if not (tree or ref):
        return None
    place = origin.find(environment.source, ref)
    if place.ref:
        return source.of_commit(place.ref, place.folder, settings=settings)
    return source.of_files(environment.kind == "lab", place.folder, settings=settings)


def _said(environment: str, done: Migrated) -> str:
    if done.origin == done.target:
        lines = [f"{environment} is on {done.target}; {done.release} has nothing to apply."]
    else:
        lines = [f"{environment} went from {done.origin or 'an empty schema'} to {done.target}."]
    if done.backup:
        lines.append(f"Before that: {done.backup}")
    if done.held_back:
        lines.append(
            f"Held back: {', '.join(done.held_back)}. When no kept release needs the old shape: "
            f"fab migrate --contract --env {environment}"
        )
    return "\n".join(lines)
