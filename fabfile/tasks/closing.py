"""`fab lock`, `unlock`, `mark-bad`, `prune`: who may deploy, and which releases stay."""

from __future__ import annotations

from invoke import Context, task

from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV, WAIT, WITHOUT, YES

RELEASE = "the release"


@task(
    help={
        "env": ENV,
        "reason": "why; whoever is kept out reads it",
        "hours": "how long at most, 1 to 24",
        "yes": YES,
    }
)
def lock(_context: Context, reason: str, env: str = "", hours: int = 4, yes: bool = False) -> None:
    """Keep everybody from deploying and rolling back, until `fab unlock` or the hours are over."""
    with running.sentences():
        running.checked("a reason", reason, running.TICKET, "incident 42, ask ada")
        if not reason or not 1 <= hours <= 24:
            raise RefusedError("Say why with --reason, and --hours from 1 to 24. Nothing was changed.")
        environment = running.chosen(env, yes, "Locking")
        from fabfile.upkeep.closing import lock as locking

        print(f"Nobody deploys to {environment.name} until {locking(environment, reason, hours)}: {reason}")


@task(help={"env": ENV, "yes": YES})
def unlock(_context: Context, env: str = "", yes: bool = False) -> None:
    """End a lock, or the lease of a deploy that is dead. One that lives is stopped: its next step is refused."""
    with running.sentences():
        environment = running.chosen(env, yes, "Unlocking")
        from fabfile.upkeep import closing

        held = closing.leases(environment)
        for name, lease in held.items():
            running.agreed(f"{closing.whose(name, lease)}\nEnd it?", yes)
        for name in closing.unlock(environment, held):
            print(f"The lease of {held[name]['holder']} ({held[name]['process']}) has ended.")
        if not held:
            print("Nobody held the lease.")


@task(
    help={
        "env": ENV,
        "release": RELEASE,
        "reason": "why it must not serve; whoever wants to go back to it reads this",
        "clear": "take the mark away",
        "yes": YES,
        "without": WITHOUT,
    }
)
def mark_bad(
    _context: Context,
    release: str,
    env: str = "",
    reason: str = "",
    clear: bool = False,
    yes: bool = False,
    without: str = "",
) -> None:
    """Mark a release bad on every app host, so that no rollback goes to it; or take the mark away."""
    with running.sentences():
        running.release_id(release)
        if clear == bool(reason):
            raise RefusedError("Say --reason TEXT, or --clear and no reason. Nothing was changed.")
        running.checked("a reason", reason, running.TICKET, "it loses orders")
        apart = running.hosts(without)
        environment = running.chosen(env, yes, "Marking a release")
        from fabfile.upkeep.closing import mark_bad as marking

        for line in marking(environment, release, reason, apart):
            print(line)


@task(
    help={
        "env": ENV,
        "keep": "releases to keep on each host",
        "yes": YES,
        "wait": WAIT,
        "without": WITHOUT,
    }
)
def prune(
    _context: Context, env: str = "", keep: int = 0, yes: bool = False, wait: int = 0, without: str = ""
) -> None:
    """Remove the oldest releases of every host; never one that is live, warm, or what a rollback would go to."""
    with running.sentences():
        apart = running.hosts(without)
        environment = running.chosen(env, yes, "Pruning")
        from fabfile.upkeep.closing import prune as pruning

        removed = pruning(environment, keep or environment.policy.keep, float(wait), apart)
        for name, releases in removed.items():
            print(f"{name}: {', '.join(releases) or 'nothing'} removed")
