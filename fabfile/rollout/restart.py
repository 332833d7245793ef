"""`fab restart`: the live release is started anew on one app host after the other, and no request is lost."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fabfile import interruption
from fabfile.errors import FabError, FencedError, RefusedError, UnfinishedError
from fabfile.hosts import state
from fabfile.hosts.connection import Remote
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet, performed
from fabfile.hosts.state import States
from fabfile.interruption import in_order, shielded
from fabfile.report import Report
from fabfile.rollout import agreement
from fabfile.rollout.rollback import Moved
from fabfile.traffic import public
from fabfile.traffic.probe import Probe
from fabfile.turn import record, steps
from fabfile.turn.lease import Claim, Lease, holding

# What slipway waits for the edge's connections, and for the old instance to end.
QUIET_SECONDS = 100.0
# The edge asks a host that refused it again after fail_timeout (5 s); before that, the next one must not be drained.
RETURN_SECONDS = 6.0
LEAST_HOSTS = 2


def restart(
    environment: Environment,
    report: Report,
    ticket: str = "",
    wait: float = 0.0,
    without: Sequence[str] = (),
) -> Moved:
    """Restart what is live, everywhere. Raises FabError; what it says is how the hosts are then."""
    began = time.monotonic()
    with in_order(), Probe(environment.public) as probe, Fleet(environment, without) as fleet:
        fleet.require_all()
        with holding(fleet, Claim(environment.name, ticket), wait) as (lease, states):
            release = _checked(environment, states)
            previous = {name: found.live for name, found in states.items()}
            with record.around(fleet, lease, "restart", release, probe, ticket=ticket) as last:
                for number, remote in enumerate(fleet.remotes):
                    if number:
                        time.sleep(RETURN_SECONDS)
                    interruption.obey()
                    _one(remote, fleet, lease, report, release, number)
                    public.require(probe, release)
                fleet.each(lambda remote: performed(remote, [*last(), *lease.words]))
        public.complain(probe, release, environment.name)
    return Moved(release, previous, time.monotonic() - began, probe.seen.as_record())


def _checked(environment: Environment, states: States) -> str:
    """The live release. Raises RefusedError where a restart would leave nobody who answers."""
    name, unequal = environment.name, state.unequal(states)
    if unequal or agreement.left_open(states):
        why = unequal or "A rollout was cut off"
        raise RefusedError(f"{why}. Nothing was changed. Type: fab recover --env {name}")
    taking = [each.name for each in states.values() if not each.status.get("drained")]
    if len(taking) < LEAST_HOSTS:
        raise RefusedError(
            f"Only {', '.join(taking) or 'no host'} takes requests, and nothing would be served while it restarts. "
            "Nothing was changed. A build of the same commit is a release of its own, which comes live beside the old "
            f"one and with the settings of now: fab deploy --ref COMMIT --env {name}"
        )
    live = next(iter(states.values())).live
    if live is None:
        raise RefusedError("Nothing is live, so there is nothing to restart. Nothing was changed.")
    return live


def _one(remote: Remote, fleet: Fleet, lease: Lease, report: Report, release: str, done: int) -> None:
    """One host, to its end: a signal is obeyed before the next."""
    report.step("restart", remote.name)
    environment = fleet.environment
    words = [*steps.restarting(release, environment.policy.gate, environment.public), *lease.words]
    seconds = QUIET_SECONDS + steps.STOP_SECONDS + environment.policy.gate + steps.GRACE_SECONDS
    try:
        lease.check()
        with shielded():
            (answer,) = performed(remote, words, seconds=seconds)
    except FencedError:
        raise
    except FabError as failure:
        untouched = ", ".join(each.name for each in fleet.remotes[done + 1 :]) or "no host"
        before = ", ".join(each.name for each in fleet.remotes[:done]) or "no host"
        raise UnfinishedError(
            f"{failure}\n{release} is live on every host; restarted before this: {before}; not yet: {untouched}. "
            f"Look whether {remote.name} is drained: fab status --env {environment.name}; when it is ready: "
            f"fab undrain --host {remote.name} --env {environment.name}"
        ) from failure
    quiet, took = answer.result.get("quiet_s", 0), answer.result.get("took_ms", 0)
    report.done(remote.name, f"quiet after {quiet} s, ready again in {took} ms")
