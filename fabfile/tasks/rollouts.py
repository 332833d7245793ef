"""`fab build`, `deploy`, `rollback`, `recover`, `prune`, `unlock`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Context, task

from fabfile import report
from fabfile.errors import RefusedError
from fabfile.tasks import running

if TYPE_CHECKING:
    from fabfile.bundle import Bundle
    from fabfile.rollback import Moved

ENV = "the environment: a folder of inventory/; without it SLIPWAY_ENV, else the lab"
WITHOUT = "hosts to go on without, separated by commas"
WAIT = "seconds to queue behind another deploy"
TICKET = "the change this belongs to, for the audit log"


@task(
    help={
        "ref": "the commit, tag or branch to build; without it HEAD, with nothing changed since",
        "targets": "what hosts it is for, e.g. 3.10:x86_64,3.11:x86_64",
        "allow_dirty": "build the files as they are, for the lab; the release is marked",
        "json": "one JSON object instead of sentences",
    },
)
def build(
    _context: Context, ref: str = "", targets: str = "", allow_dirty: bool = False, json: bool = False
) -> None:
    """Build the bundle of a release: wheels for every target, manifest, checksums."""
    with running.sentences():
        built = _built(ref, targets, allow_dirty)
        if json:
            print(built.as_json())
        else:
            print(f"release  {built.release}\nbundle   {built.path}\nsha256   {built.sha256}")


def _built(ref: str, targets: str = "", allow_dirty: bool = False) -> Bundle:
    # Imported here: a rollback builds nothing, and has a second to be done in.
    from fabfile import bundle
    from fabfile.wheels import Target

    running.checked("a commit", ref, running.REF, "main, v1.2 or 3f2a9c1")
    wanted = [Target.parse(text) for text in targets.split(",")] if targets else bundle.DEFAULT_TARGETS
    return bundle.build(targets=wanted, ref=ref or None, allow_dirty=allow_dirty)


def _given(path: str) -> Bundle:
    from fabfile import bundle, plan, wheels

    file = running.bundle(path)
    release = running.release_id(str(plan.manifest_of(file).get("release", "")))
    return bundle.Bundle(file, wheels.sha256(file), release)


@task(
    help={
        "env": ENV,
        "ref": "the commit, tag or branch to deploy; without it HEAD, with nothing changed since",
        "bundle": "a bundle that was built before, instead of building one",
        "batch": "how many hosts are switched at a time: a number, or a share such as 25%",
        "canary": "switch the first host alone, and watch it before the others",
        "bake": "seconds to watch each batch under traffic; without it the environment's",
        "gate": "seconds a release may take to be ready; without it the environment's",
        "plan": "say what would be done, and do nothing",
        "yes": "production is meant",
        "ticket": TICKET,
        "wait": WAIT,
        "without": WITHOUT,
    }
)
def deploy(
    _context: Context,
    env: str = "",
    ref: str = "",
    bundle: str = "",
    batch: str = "",
    canary: bool = False,
    bake: str = "",
    gate: str = "",
    plan: bool = False,
    yes: bool = False,
    ticket: str = "",
    wait: int = 0,
    without: str = "",
) -> None:
    """Bring a release live on every app host without losing a request, or leave every host as it is."""
    with running.sentences():
        running.checked("a batch", batch, running.BATCH, "2 or 25%")
        running.checked("a ticket", ticket, running.TICKET, "OPS-123")
        for seconds in (bake, gate):
            running.checked("a number of seconds", seconds, running.SECONDS, "10")
        if ref and bundle:
            raise RefusedError("--ref builds a bundle and --bundle names one: give one of them.")
        apart = running.hosts(without)
        environment = running.chosen(env, yes or plan, "Deploying")
        release = _given(bundle) if bundle else _built(ref, allow_dirty=environment.kind == "lab" and not ref)
        from fabfile import deploy as deploying

        if plan:
            print(deploying.make_plan(environment, release, apart).text())
            return
        watched, patience = (float(text) if text else None for text in (bake, gate))
        options = deploying.Options(batch, canary, watched, patience, ticket, float(wait), apart)
        with report.of([host.name for host in environment.app_hosts]) as told:
            moved = deploying.deploy(environment, told, release, options)
        _say(environment.name, "deployed", moved)


@task(
    help={
        "env": ENV,
        "to": "the release to go back to; without it the newest that was verified healthy and is on every host",
        "yes": "production is meant",
        "ticket": TICKET,
        "wait": WAIT,
        "without": WITHOUT,
    }
)
def rollback(
    _context: Context,
    env: str = "",
    to: str = "",
    yes: bool = False,
    ticket: str = "",
    wait: int = 0,
    without: str = "",
) -> None:
    """Bring an earlier release live again on every app host. The one that is left is kept."""
    with running.sentences():
        running.release_id(to)
        running.checked("a ticket", ticket, running.TICKET, "OPS-123")
        apart = running.hosts(without)
        environment = running.chosen(env, yes, "Rolling back")
        from fabfile.rollback import rollback as rolling_back

        with report.of([host.name for host in environment.app_hosts]) as told:
            moved = rolling_back(environment, told, to, ticket, float(wait), apart)
        _say(environment.name, "rolled back", moved)


def _say(environment: str, done: str, moved: Moved) -> None:
    seen = moved.seen
    print(
        f"{environment} {done}: {moved.release} is live on every app host, in {moved.seconds:.2f} s. "
        f"lost={seen['lost']} max_gap_ms={seen['max_gap_ms']} of {seen['requests']} requests on the public path."
    )


@task(
    help={
        "env": ENV,
        "to": "the release to agree on",
        "yes": "production is meant",
        "wait": WAIT,
        "without": WITHOUT,
    }
)
def recover(
    _context: Context, env: str = "", to: str = "", yes: bool = False, wait: int = 0, without: str = ""
) -> None:
    """Make the hosts agree again after a rollout that was cut off, with nothing left behind."""
    with running.sentences():
        running.release_id(to)
        apart = running.hosts(without)
        environment = running.chosen(env, yes, "Recovering")
        from fabfile.recover import recover as recovering

        with report.of([host.name for host in environment.app_hosts]) as told:
            states = recovering(environment, told, to, float(wait), apart)
        print("\n".join(f"{name} serves {found.live or 'nothing'}" for name, found in states.items()))


@task(help={"env": ENV, "keep": "releases to keep on each host", "yes": "production is meant", "wait": WAIT})
def prune(_context: Context, env: str = "", keep: int = 0, yes: bool = False, wait: int = 0) -> None:
    """Remove the oldest releases of every host; never one that is live, warm, or what a rollback would go to."""
    with running.sentences():
        environment = running.chosen(env, yes, "Pruning")
        from fabfile.upkeep import prune as pruning

        for name, removed in pruning(environment, keep or environment.policy.keep, float(wait)).items():
            print(f"{name}: {', '.join(removed) or 'nothing'} removed")


@task(help={"env": ENV, "yes": "production is meant"})
def unlock(_context: Context, env: str = "", yes: bool = False) -> None:
    """End the lease of a deploy that is dead. One that lives is stopped by this: its next step is refused."""
    with running.sentences():
        environment = running.chosen(env, yes, "Unlocking")
        from fabfile.upkeep import unlock as unlocking

        held = unlocking(environment)
        print(
            f"The lease of {held['holder']} ({held['process']}) has ended."
            if held
            else "Nobody held the lease."
        )
