"""`fab patch`: all that waits on the hosts of an environment, from the gate before to the gate after."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabfile.errors import RefusedError
from fabfile.hosts import state
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet, performed
from fabfile.hosts.state import States
from fabfile.interruption import in_order
from fabfile.report import Report
from fabfile.rollout import agreement
from fabfile.traffic import public
from fabfile.traffic.probe import Probe
from fabfile.turn import record
from fabfile.turn.lease import Claim, holding
from fabfile.upkeep.patching import plan, walk
from fabfile.upkeep.patching.waiting import Place


@dataclass(frozen=True)
class Patched:
    """hosts: those that something was done to. rebooted: of them. left: what still waits, a line each."""

    hosts: list[str]
    rebooted: list[str]
    left: list[str]
    seconds: float
    seen: dict[str, object]


def foreseen(environment: Environment, without: Sequence[str] = ()) -> plan.Plan:
    """What a patch would do now; package lists are fetched, nothing else is changed."""
    return plan.make(environment, _among(environment, without))


def patch(
    environment: Environment,
    report: Report,
    window: bool = False,
    ticket: str = "",
    wait: float = 0.0,
    without: Sequence[str] = (),
) -> Patched:
    """Install what waits. window: also what customers notice. Raises FabError, which says how the hosts are then."""
    began = time.monotonic()
    among = _among(environment, without)
    apart = [host.name for host in environment.app_hosts if host.name in without]
    with in_order(), Probe(environment.public) as probe, Fleet(environment, apart) as fleet:
        fleet.require_all()
        with holding(fleet, Claim(environment.name, ticket), wait) as (lease, states):
            release = _checked(fleet, states)
            ours = [name for name, found in states.items() if _why(found) == walk.WHY]
            report.step("look", f"{len(among)} hosts")
            found = plan.make(environment, among)
            # What a run that was cut off left of a drained host is put right by this one.
            plan.require_well([host for host in found.hosts if host.name not in ours], environment.name)
            going = walk.Walk(fleet, lease, report, probe, release, found.hosts)
            todo = found.at_any_time()
            told: dict[str, Any] = {"ticket": ticket, "hosts": [host.name for host in todo], "window": window}
            with record.around(fleet, lease, "patch", release, probe, **told) as last:
                for host in todo:
                    going.at_any_time(host)
                for name in ours:
                    if name not in going.done:
                        going.give_back(name)
                for host in going.now() if window else []:
                    if host.windows:
                        going.in_a_window(host)
                fleet.each(lambda remote: performed(remote, [*last(), *lease.words]))
        public.complain(probe, release, environment.name)
    left = [f"{host.name}: {said}" for host in going.now() for said in [*host.windows, *host.left]]
    hosts = list(dict.fromkeys(going.done))
    return Patched(hosts, going.rebooted, left, time.monotonic() - began, probe.seen.as_record())


def _among(environment: Environment, without: Sequence[str]) -> list[Place]:
    places = plan.places(environment)
    known = [place.name for place in places]
    if strange := sorted(set(without) - set(known)):
        raise RefusedError(
            f"{', '.join(strange)}: no host of {environment.name}, which has {', '.join(known)}. Nothing was changed."
        )
    return [place for place in places if place.name not in without]


def _checked(fleet: Fleet, states: States) -> str:
    """The live release. Raises RefusedError where hosts are not as a patch may begin with them."""
    name, unequal = fleet.environment.name, state.unequal(states)
    if unequal or agreement.left_open(states):
        why = unequal or "A rollout was cut off"
        raise RefusedError(f"{why}. Nothing was changed. Type: fab recover --env {name}")
    live = next(iter(states.values())).live
    if live is None:
        raise RefusedError(
            f"Nothing is live, so nobody could tell whether it serves after a patch. Nothing was changed. Type: "
            f"fab deploy --env {name}"
        )
    for host, found in states.items():
        if found.status.get("drained") and _why(found) != walk.WHY:
            raise RefusedError(
                f"{host} was drained by somebody since {found.status['drained'].get('since')}. Nothing was changed. "
                f"Give it back (fab undrain --host {host} --env {name}), or leave it out: --without {host}"
            )
        if (found.status.get("migration") or {}).get("running"):
            raise RefusedError(
                f"A migration runs on {host}. Nothing was changed. Type: fab migrate --env {name}"
            )
    for remote in fleet.remotes:
        # One that a patch rebooted, and that was killed then, has forgotten that it was drained, and may still boot.
        if _why(states[remote.name]) != walk.WHY and (said := walk.unready(remote, live)):
            raise RefusedError(f"{said} Nothing was changed. Type: fab status --env {name}")
    return live


def _why(found: state.HostState) -> str | None:
    return (found.status.get("drained") or {}).get("why")
