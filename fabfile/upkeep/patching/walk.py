"""From host to host: drained where others answer meanwhile, patched as root, looked at again, and given back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from fabfile import interruption
from fabfile.errors import FabError, FencedError, InterruptError, UnfinishedError
from fabfile.hosts import state
from fabfile.hosts.connection import Remote, UnreachableError
from fabfile.hosts.fleet import Fleet, performed
from fabfile.hosts.state import HostState
from fabfile.interruption import shielded
from fabfile.report import Report
from fabfile.traffic import public
from fabfile.traffic.probe import Probe
from fabfile.turn import record, steps
from fabfile.turn.lease import Lease, describe
from fabfile.upkeep.patching import asking, telling, waiting
from fabfile.upkeep.patching.waiting import Waiting

# What slipway waits for the edge's connections.
QUIET_SECONDS = 100.0
# The edge asks a host that refused it again after fail_timeout (5 s).
RETURN_SECONDS = 6.0
READY_SECONDS, PAUSE_SECONDS = 120.0, 1.0
# By which a drained host is known as one of a patch that was cut off.
WHY = "patch"


@dataclass
class Walk:
    """hosts: all that are looked after, as they were seen first. after: as each was seen after its part."""

    fleet: Fleet
    lease: Lease
    report: Report
    probe: Probe
    release: str
    hosts: tuple[Waiting, ...]
    done: list[str] = field(default_factory=list)
    after: dict[str, Waiting] = field(default_factory=dict)
    rebooted: list[str] = field(default_factory=list)

    def now(self) -> list[Waiting]:
        """The hosts, each as it was seen last."""
        return [self.after.get(host.name, host) for host in self.hosts]

    def at_any_time(self, host: Waiting) -> None:
        """One host's part, of which no customer notices anything."""
        self._begin("patch", host, "")
        with self._told(host), shielded():
            if host.place.drains:
                self._drained(host)
            else:
                self._part(host, host.packages, reboots=not host.interrupted)
            self._gate()

    def in_a_window(self, host: Waiting) -> None:
        """What of one host customers notice: they are refused until the database, or the host, is back."""
        said = "; ".join(host.windows)
        self._begin("window", host, f": {said}")
        with self._told(host), shielded():
            record.everywhere(self.fleet, self.lease, "patch.window", self.release, host=host.name, what=said)
            began = time.monotonic()
            self._part(host, [update.name for update in host.apart], reboots=True, window=True)
            for remote in self.fleet.remotes:
                self._ready(remote)
            self._gate(READY_SECONDS)
            self.report.done(host.name, f"over after {time.monotonic() - began:.0f} s")

    def give_back(self, name: str) -> None:
        """A host that a patch which was cut off had drained, and that needs nothing more."""
        self.report.step("undrain", name)
        remote = self._remote(name)
        self._ready(remote)
        performed(remote, ["undrain", *self.lease.words])

    def _begin(self, step: str, host: Waiting, said: str) -> None:
        try:
            interruption.obey()
        except InterruptError as interrupted:
            raise InterruptError(f"{interrupted} {self._between()}") from None
        self.lease.check()
        # While the first app host was away somebody may have begun on the others.
        for name, found in self.fleet.each(_read).items():
            held = found.status.get("lease") or {}
            if name != self.fleet.first.name and held.get("state") == "held":
                told = describe(self.fleet.environment.name, held, 0)
                raise UnfinishedError(f"On {name}: {told}\n{self._standing(host)}")
        self.report.step(step, f"{host.name}{said}")

    def _drained(self, host: Waiting) -> None:
        remote = self._remote(host.name)
        self._require_another(host.name)
        draining = ["drain", f"--why={WHY}", "--quiet", *self.lease.words]
        performed(remote, draining, seconds=QUIET_SECONDS + steps.STOP_SECONDS + steps.GRACE_SECONDS)
        found = self._part(host, host.packages, reboots=not host.interrupted, drained=True)
        self._ready(remote)
        if found.stale.get("release"):
            environment = self.fleet.environment
            words = steps.restarting(self.release, environment.policy.gate, environment.public)
            performed(
                remote,
                [*words, *self.lease.words],
                seconds=QUIET_SECONDS + environment.policy.gate + steps.STOP_SECONDS,
            )
        performed(remote, ["undrain", *self.lease.words])
        time.sleep(RETURN_SECONDS)

    def _require_another(self, name: str) -> None:
        """Raise FabError where nobody would answer meanwhile."""
        others = {each: found for each, found in self.fleet.each(_read).items() if each != name}
        if not any(
            is_ready(found, self.release) and not found.status.get("drained") for found in others.values()
        ):
            raise FabError(
                f"No other app host than {name} answers now, and nothing would be served meanwhile."
            )

    def _part(
        self,
        host: Waiting,
        packages: list[str],
        *,
        reboots: bool,
        drained: bool = False,
        window: bool = False,
    ) -> Waiting:
        given = {
            "patch_packages": packages,
            "patch_reboots": reboots,
            "patch_drained": drained,
            "patch_window": window,
            "patch_known": list(host.complaints),
            "patch_no_reason": list(waiting.NO_REASON),
        }
        answer = asking.ask(self.fleet.environment.name, "part", [host.name], given).get(host.name)
        if answer is None:
            raise asking.HostError(f"{host.name} did not answer as root; how far it came is in its journal.")
        if answer["rebooted"]:
            self.rebooted.append(host.name)
        if answer["failed"]:
            raise asking.HostError(telling.failed(host, answer))
        found = self.after[host.name] = waiting.of(host.place, answer)
        self.report.done(host.name, telling.did(packages, answer))
        for remote in self.fleet.remotes:
            if remote.name == host.name and answer["rebooted"]:
                _reopen(remote)
        return found

    def _ready(self, remote: Remote) -> None:
        """Wait until the release that was live is ready there. Raises FabError."""
        if said := unready(remote, self.release):
            raise FabError(f"{said} Type: fab logs --env {self.fleet.environment.name}")

    def _gate(self, seconds: float = public.CONVERGE_SECONDS) -> None:
        public.require(self.probe, self.release, seconds)

    def _remote(self, name: str) -> Remote:
        return next(remote for remote in self.fleet.remotes if remote.name == name)

    def _told(self, host: Waiting) -> _Told:
        return _Told(self, host)

    def _between(self) -> str:
        name = self.fleet.environment.name
        done = ", ".join(self.done) or "no host"
        return (
            f"Patched before it: {done}. No host is in the middle. fab patch --env {name} goes on from there."
        )

    def _standing(self, host: Waiting) -> str:
        """Which hosts are patched, which are not, and what goes on from there."""
        left = [each.name for each in self.hosts if each.name not in self.done and each.name != host.name]
        left = [name for name in left if self.after.get(name) is None]
        name = self.fleet.environment.name
        drained = (
            f" {host.name} takes no requests until then, if it was drained: fab undrain --host {host.name} --env "
            f"{name} gives it back as it is."
            if host.place.drains
            else ""
        )
        return (
            f"Patched before this: {', '.join(self.done) or 'no host'}; in the middle: {host.name}; not yet: "
            f"{', '.join(left) or 'no host'}.{drained} When it is put right: fab patch --env {name} goes on from there."
        )


class _Told:
    """A failure within is told with how the hosts stand; without one the host is done."""

    def __init__(self, walk: Walk, host: Waiting) -> None:
        self.walk, self.host = walk, host

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: Any) -> None:
        if value is None:
            self.walk.done.append(self.host.name)
        elif isinstance(value, FabError) and not isinstance(value, FencedError):
            raise UnfinishedError(f"{value}\n{self.walk._standing(self.host)}") from value


def _read(remote: Remote) -> HostState:
    return state.of(remote.name, performed(remote, *state.READING))


def is_ready(found: HostState, release: str) -> bool:
    """Whether a host serves that release."""
    socket = (found.status.get("live") or {}).get("socket") or {}
    return found.live == release and bool(socket.get("ready"))


def unready(remote: Remote, release: str) -> str:
    """Wait until that release is live and ready there; "" then, or a sentence when it does not become so."""
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready(found := _read(remote), release):
        if time.monotonic() > deadline:
            return (
                f"{remote.name}: {found.live or 'nothing'} is live and not ready {READY_SECONDS:g} s later."
            )
        time.sleep(PAUSE_SECONDS)
    return ""


def _reopen(remote: Remote) -> None:
    """Come in again after a reboot; Ansible has been there already."""
    remote.close()
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            remote.open()
            return
        except UnreachableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)
