"""`fab deploy`, `rollback`, `recover`."""

from __future__ import annotations

import json as encoding
from dataclasses import asdict
from typing import TYPE_CHECKING

from invoke import Context, task

from fabfile import report
from fabfile.errors import RefusedError
from fabfile.tasks import building, running

if TYPE_CHECKING:
    from fabfile.rollout.rollback import Moved

ENV = "the environment: a folder of inventory/; without it SLIPWAY_ENV, else the lab"
WITHOUT = "hosts to go on without, separated by commas"
WAIT = "seconds to queue behind another deploy"
TICKET = "the change this belongs to, for the audit log"
JSON = "one JSON object on standard output; what happens meanwhile is on the other one"
YES = "go ahead in production, and do not ask"


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
        "yes": YES,
        "ticket": TICKET,
        "wait": WAIT,
        "without": WITHOUT,
        "json": JSON,
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
    json: bool = False,
) -> None:
    """Bring a release live on every app host without losing a request, or leave every host as it is."""
    with running.sentences():
        running.checked("a batch", batch, running.BATCH, "2 or 25%")
        running.checked("a ticket", ticket, running.TICKET, "OPS-123")
        for seconds in (bake, gate):
            running.checked("a number of seconds", seconds, running.SECONDS, "10")
        running.checked("a commit", ref, running.REF, "main, v1.2 or 3f2a9c1")
        if ref and bundle:
            raise RefusedError("--ref builds a bundle and --bundle names one: give one of them.")
        apart = running.hosts(without)
        environment = running.chosen(env, yes or plan, "Deploying")
        from fabfile.bundle import signing_keys
        from fabfile.rollout import deploy as deploying

        if not bundle and not plan and not wait:
            deploying.require_free(environment, apart)
        if not bundle and not plan and environment.signing.required:
            # Before a minute goes into a build for nothing.
            signing_keys.chosen(environment.signing)
        release = (
            building.given(bundle)
            if bundle
            else building.built(
                environment.source, ref, environment.python, allow_dirty=environment.kind == "lab" and not ref
            )
        )
        if plan:
            print(deploying.make_plan(environment, release, apart).text())
            return
        watched, patience = (float(text) if text else None for text in (bake, gate))
        options = deploying.Options(batch, canary, watched, patience, ticket, float(wait), apart)
        with report.of([host.name for host in environment.app_hosts], apart=json) as told:
            moved = deploying.deploy(environment, told, release, options)
        say(environment.name, "deployed", moved, json)


@task(
    help={
        "env": ENV,
        "to": "the release to go back to; without it the one that was live before",
        "plan": "say where it would go and how quickly, and do nothing",
        "yes": YES,
        "ticket": TICKET,
        "wait": WAIT,
        "without": WITHOUT,
        "json": JSON,
    }
)
def rollback(
    _context: Context,
    env: str = "",
    to: str = "",
    plan: bool = False,
    yes: bool = False,
    ticket: str = "",
    wait: int = 0,
    without: str = "",
    json: bool = False,
) -> None:
    """Bring an earlier release live again on every app host. The one that is left is kept."""
    with running.sentences():
        running.release_id(to)
        running.checked("a ticket", ticket, running.TICKET, "OPS-123")
        apart = running.hosts(without)
        environment = running.chosen(env, yes or plan, "Rolling back")
        from fabfile.rollout.rollback import plan as planning
        from fabfile.rollout.rollback import rollback as rolling_back

        if plan:
            print(planning(environment, to, apart))
            return
        with report.of([host.name for host in environment.app_hosts], apart=json) as told:
            moved = rolling_back(environment, told, to, ticket, float(wait), apart)
        say(environment.name, "rolled back", moved, json)


def say(environment: str, done: str, moved: Moved, as_json: bool) -> None:
    if as_json:
        print(encoding.dumps({"version": 1, "environment": environment, "done": done, **asdict(moved)}))
        return
    seen = moved.seen
    watched = f"lost={seen['lost']} max_gap_ms={seen['max_gap_ms']} of {seen['requests']} requests on the public path."
    print(
        f"{environment} {done}: {moved.release} is live on every app host, in {moved.seconds:.2f} s. "
        f"{watched if seen['requests'] else 'The public path was not watched.'}"
    )


@task(
    help={
        "env": ENV,
        "to": "the release to agree on; without it what the newest rollout left",
        "plan": "say on which release, and why, and do nothing",
        "yes": YES,
        "wait": WAIT,
        "without": WITHOUT,
        "json": JSON,
    }
)
def recover(
    _context: Context,
    env: str = "",
    to: str = "",
    plan: bool = False,
    yes: bool = False,
    wait: int = 0,
    without: str = "",
    json: bool = False,
) -> None:
    """Make the hosts agree again after a rollout that was cut off, with nothing left behind."""
    with running.sentences():
        running.release_id(to)
        apart = running.hosts(without)
        environment = running.chosen(env, yes or plan, "Recovering")
        from fabfile.rollout import recover as recovering

        if plan or not (to or yes):
            said = recovering.plan_text(*recovering.plan(environment, apart))
            if plan:
                print(said)
                return
            running.agreed(f"{said}\nGo ahead?", yes)
        with report.of([host.name for host in environment.app_hosts], apart=json) as told:
            states = recovering.recover(environment, told, to, float(wait), apart)
        served = {name: found.live for name, found in states.items()}
        if json:
            print(encoding.dumps({"version": 1, "environment": environment.name, "live": served}))
        else:
            print("\n".join(f"{name} serves {live or 'nothing'}" for name, live in served.items()))
