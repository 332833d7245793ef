"""Which function does what was typed, and what it is given: the lock, the fence, or neither."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from slipway.command_line import backfill_arguments
from slipway.database import backfill
from slipway.database.migrate import migrate
from slipway.host import Host, check_release_id
from slipway.metrics.told import metrics
from slipway.metrics.waiting import updates
from slipway.releases.marks import mark_bad
from slipway.releases.stage import stage
from slipway.traffic.activate import activate
from slipway.traffic.awaiting import await_live
from slipway.traffic.bake import bake
from slipway.traffic.drain import drain, drain_and_wait, undrain
from slipway.traffic.instance import pass_gate, start, stop
from slipway.traffic.maintenance import maintenance
from slipway.traffic.settle import settle
from slipway.traffic.switch import switch, verify
from slipway.turns import lease
from slipway.turns.session import Report, Session, backfilling, changing, executing, leasing, noting, reading
from slipway.upkeep import audit, one_off, refit
from slipway.upkeep.prune import prune
from slipway.upkeep.record import record
from slipway.upkeep.recover import recover
from slipway.upkeep.restart import restart
from slipway.upkeep.status import list_releases, status

Command = Callable[[Session, argparse.Namespace], Report]

# With the host's lock: they change the releases or where the traffic goes.
CHANGES: dict[str, Command] = {
    "stage": lambda session, given: stage(
        session, given.bundle, given.sha256, given.release, given.signature, given.parts
    ),
    "migrate": lambda session, given: migrate(
        session, given.release, given.timeout, given.contract, given.watch
    ),
    "start": lambda session, given: start(session, given.release),
    "gate": lambda session, given: pass_gate(session, given.release, given.timeout, given.public, given.path),
    "switch": lambda session, given: switch(session, given.release, given.expect),
    "verify": lambda session, given: verify(session, given.release, given.count, given.public, given.path),
    "restart": lambda session, given: restart(
        session, given.release, given.timeout, given.public, given.path
    ),
    "settle": lambda session, given: settle(session, given.release, given.warm),
    "stop": lambda session, given: stop(session, given.release, given.unless_live, given.warm_until),
    "activate": lambda session, given: activate(session, given.release, given.timeout, given.warm),
    "mark-bad": lambda session, given: mark_bad(session, given.release, given.reason, given.clear),
    "prune": lambda session, given: prune(session, given.keep),
    "maintenance": lambda session, given: maintenance(session, given.state == "on", given.message),
    "drain": lambda session, given: (drain_and_wait if given.quiet else drain)(
        session, given.port, given.why
    ),
    "undrain": lambda session, given: undrain(session),
    "recover": lambda session, given: recover(session, given.timeout),
    "refit": lambda session, given: refit.refit(session),
}
# Without it, but with the fence.
NOTES: dict[str, Command] = {
    "bake": lambda session, given: bake(
        session, given.release, given.seconds, given.max_errors, given.public
    ),
    "record": lambda session, given: record(session, given.kind, given.release, given.details),
}
LEASE: dict[str, Command] = {
    "acquire": lambda session, given: lease.acquire(
        session,
        {
            "holder": given.holder,
            "process": given.process,
            "command": given.typed,
            "ticket": given.ticket,
            "nonce": given.nonce,
            "machine": given.machine,
            "freeze": given.reason,
        },
        given.ttl,
        given.above,
    ),
    "renew": lambda session, given: lease.renew(session, given.fence),
    "release": lambda session, given: lease.release(session, given.fence),
    "break": lambda session, given: lease.break_(session, given.fence),
}
# With a lock of their own.
BACKFILLS: dict[str, Command] = {
    "run": lambda session, given: backfill.begin(session, given.name, resume=False),
    "resume": lambda session, given: backfill.begin(session, given.name, resume=True),
    "pause": lambda session, given: backfill.pause(session, given.name),
    "status": lambda session, given: backfill.status(session),
}
READS: dict[str, Command] = {
    "status": lambda session, given: status(session),
    "await": lambda session, given: await_live(session, given.timeout),
    "list": lambda session, given: list_releases(session, not given.brief),
    "metrics": lambda session, given: metrics(session, given.write),
    "updates": lambda session, given: updates(session),
    "journal": lambda session, given: audit.journal(session, given.lines, given.verify, given.step),
}


def check(given: argparse.Namespace) -> None:
    """Refuses what the words alone show to be wrong."""
    if getattr(given, "release", None):
        check_release_id(given.release)
    if given.command == "backfill":
        backfill_arguments.check(given.action, given.name)


def perform(given: argparse.Namespace, host: Host, typed: str) -> Report:
    """typed: the whole command, as the lock and the errors show it."""
    name: str = given.command
    if name in READS:
        return READS[name](reading(host, typed), given)
    if name == "backfill":
        if given.action == "progress":
            return backfill.progress(reading(host, typed))
        with backfilling(host, typed, given.wait or backfill.WAIT_SECONDS, given.fence) as session:
            return BACKFILLS[given.action](session, given)
    if name == "exec":
        with executing(host, typed, given.wait, given.fence) as session:
            return one_off.one_off(
                session, given.words, given.seconds, given.attached, given.input, given.holder
            )
    if name == "lease":
        with leasing(host, typed) as session:
            return LEASE[given.action](session, given)
    if name in NOTES:
        with noting(host, typed, given.fence) as session:
            return NOTES[name](session, given)
    if name == "refit":
        found = refit.look(reading(host, typed))
        # Nobody who is at work is waited for when there is nothing to do.
        if given.dry_run or not found.changed:
            return found
    with changing(host, typed, given.wait, given.fence) as session:
        return CHANGES[name](session, given)
