"""The one path by which a release comes live on all hosts: prove it everywhere, then move the traffic, or take it back.

Deploy and rollback are this path; they differ only in where the release comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fabfile.errors import FabError, FailedError, FencedError, UnfinishedError, UntidyError
from fabfile.hosts.connection import Answer, Remote
from fabfile.hosts.fleet import AnswerError, Fleet, HostsError, is_its_own, performed, raise_fenced
from fabfile.hosts.policies import Policy
from fabfile.hosts.state import States
from fabfile.interruption import shielded
from fabfile.report import Report
from fabfile.traffic import public
from fabfile.traffic.probe import Probe
from fabfile.turn import steps
from fabfile.turn.lease import LOCK_SECONDS, Lease
from fabfile.turn.steps import GRACE_SECONDS, STOP_SECONDS


@dataclass
class Rollout:
    """release: what is to be live. previous: what each host serves now, None for a host that serves nothing.

    Whoever is overtaken (FencedError) changes nothing more, not even back.
    """

    fleet: Fleet
    lease: Lease
    report: Report
    policy: Policy
    release: str
    previous: dict[str, str | None]
    probe: Probe
    switched: list[Remote] = field(default_factory=list)

    def prove(self, *before: Sequence[str]) -> None:
        """Start the release beside the live one on every host and let it prove itself; no traffic is touched.

        before: commands that go first, in the same round trip.
        Raises FailedError when it fails on one: then its instances are stopped on all of them.
        """
        self.report.step("gate", self.release)

        def gate(remote: Remote) -> Answer:
            answers = performed(remote, *self._proving(before), seconds=self._patience)
            self.report.done(remote.name, "ready")
            return answers[-1]

        try:
            self.fleet.each(gate)
            self.lease.check()
        except FencedError as overtaken:
            raise self._overtaken(overtaken) from overtaken
        except FabError as failure:
            raise self._put_back(failure) from failure

    def prove_and_move(self, *before: Sequence[str]) -> None:
        """The same as prove and move on the only host: no barrier is needed, so one round trip does both."""
        (remote,) = self.fleet.remotes
        self.report.step("gate, switch", self.release)
        try:
            patience = self._patience + steps.moving(self.policy)
            performed(
                remote,
                *self._proving(before),
                *self._switching(self.release, self.previous[remote.name] or steps.NOTHING),
                seconds=patience,
            )
            public.require(self.probe, self.release)
        except FencedError as overtaken:
            raise self._overtaken(overtaken) from overtaken
        except AnswerError as failure:
            if failure.answer.command in ("switch", "verify"):
                self.switched.append(remote)
                self._take_back(failure)
            raise self._put_back(failure) from failure
        except FabError as failure:
            # How far it came is not known; going back is right in any case.
            self.switched.append(remote)
            self._take_back(failure)

    def require_public(self, states: States) -> None:
        """Raise FailedError where nobody could see whether customers get the release, and put it away again."""
        try:
            public.require_reached(self.probe, states)
        except FabError as failure:
            raise self._put_back(failure) from failure

    @property
    def _patience(self) -> float:
        return self.policy.gate + STOP_SECONDS + LOCK_SECONDS + GRACE_SECONDS

    def _proving(self, before: Sequence[Sequence[str]]) -> list[list[str]]:
        public_path = self.fleet.environment.public
        return steps.proving(self.release, self.policy.gate, public_path, self.lease, before)

    def _switching(self, release: str, expected: str) -> list[list[str]]:
        return steps.switching(release, expected, self.fleet.environment.public, self.lease)

    def move(self, batches: Sequence[Sequence[Remote]], bake: float) -> None:
        """Move the traffic batch by batch, and watch each for `bake` seconds; in the end customers have to be answered
        by the release. On failure every host goes back.
        """
        try:
            for batch in batches:
                self.lease.check()
                self._switch(batch)
                self._bake(batch, bake)
            public.require(self.probe, self.release)
        except FencedError as overtaken:
            raise self._overtaken(overtaken) from overtaken
        except FabError as failure:
            self._take_back(failure)

    def settle(self, warm: float, *further: Sequence[str], ends: bool = True) -> None:
        """Make it what starts at boot, keep the release before it warm, and perform what else ends the rollout.

        ends: nothing comes after it, so that the lease may be given back in the same round trip.
        """
        self.report.step("settle", self.release)
        commands = [["settle", self.release, f"--warm={warm:g}", *self.lease.words]]
        commands += [[*command, *self.lease.words] for command in further]
        # Only where it is the only host: on others a newer deploy could come before they have settled.
        last = [self.lease.giving_back] if ends and len(self.fleet.remotes) == 1 else []
        served = f"{self.release} came live on every host, but"
        try:
            with shielded():
                self.fleet.each(lambda remote: performed(remote, *commands, *last, seconds=GRACE_SECONDS * 4))
            self.lease.is_given_back = bool(last)
        except FencedError as overtaken:
            raise FencedError(
                f"{served} this command was overtaken before it had tidied up, and goes no further:\n{overtaken}\n"
                f"Type: fab status --env {self.fleet.environment.name}"
            ) from overtaken
        except HostsError as failure:
            raise UntidyError(
                f"{served} tidying up failed:\n{failure}\nType: fab recover --env {self.fleet.environment.name}"
            ) from failure

    def _switch(self, batch: Sequence[Remote]) -> None:
        self.report.step("switch", ", ".join(remote.name for remote in batch))

        def switch(remote: Remote) -> Answer:
            self.switched.append(remote)
            answers = performed(
                remote,
                *self._switching(self.release, self.previous[remote.name] or steps.NOTHING),
                seconds=steps.moving(self.policy),
            )
            self.report.done(remote.name, f"live, switched in {answers[0].result.get('took_us', 0)} µs")
            return answers[0]

        self.fleet.each(switch, batch)

    def _bake(self, batch: Sequence[Remote], seconds: float) -> None:
        if seconds <= 0:
            return
        self.report.step("bake", f"{seconds:g} s under traffic")
        words = steps.baking(self.release, seconds, self.policy.max_errors, self.fleet.environment.public)
        self.fleet.each(lambda remote: performed(remote, words, seconds=seconds + GRACE_SECONDS), batch)

    def _take_back(self, failure: FabError) -> None:
        """Raises FailedError when every host is back on what it served, UnfinishedError when one is not."""
        with shielded():
            self._go_back(failure)

    def _go_back(self, failure: FabError) -> None:
        told = f"{len(self.switched)} of {len(self.fleet.remotes)} hosts were switched"
        self.report.step("take back", told)
        try:
            self.lease.check()
        except FencedError as overtaken:
            raise self._overtaken(overtaken, failure) from failure
        going = [remote for remote in self.switched if self.previous[remote.name] is not None]
        outcomes = self.fleet.attempt(self._back, going)
        stuck = {name: value for name, value in outcomes.items() if isinstance(value, FabError)}
        raise_fenced(stuck, lambda overtaken: self._overtaken(overtaken, failure))
        blamed = is_its_own(failure)
        marked = self.put_away(str(failure).splitlines()[0][:500] if blamed else "")
        raise_fenced(marked, lambda overtaken: self._overtaken(overtaken, failure))
        name = self.fleet.environment.name
        if stuck or marked:
            told = "\n".join(str(value) for value in [*stuck.values(), *marked.values()])
            raise UnfinishedError(
                f"{self.release} failed: {failure}\nGoing back did not end on {', '.join(stuck | marked)}:\n{told}\n"
                f"Type: fab recover --env {name}"
            ) from failure
        failed = f"{self.release} failed after traffic had moved: {failure}\n"
        bad = f" {self.release} is marked bad." if blamed else ""
        if bare := [remote.name for remote in self.switched if remote not in going]:
            raise UnfinishedError(
                f"{failed}{', '.join(bare)} served nothing before, so there is nothing to go back to, and the failed "
                f"release still has the traffic there; the others serve what they served.{bad} To answer clients "
                f"meanwhile: fab maintenance --on --env {name}; then deploy a release that works."
            ) from failure
        raise FailedError(f"{failed}Every host went back: {self._served}.{bad}") from failure

    def _back(self, remote: Remote) -> Answer:
        previous = str(self.previous[remote.name])
        starting = ["start", previous, *self.lease.words]
        answers = performed(
            remote, starting, *self._switching(previous, self.release), seconds=steps.moving(self.policy) * 2
        )
        self.report.done(remote.name, f"back on {previous}")
        return answers[-1]

    def put_away(self, bad: str = "") -> dict[str, FabError]:
        """Stop its instances where it is not live; mark it bad when a reason is given. Failures, by host."""
        # A gate that was interrupted here still has the host's lock there, until it has ended.
        words = [*self.lease.fenced, f"--wait={self._patience:g}"]

        def stop(remote: Remote) -> None:
            commands = [["stop", self.release, "--unless-live", *words]]
            if bad:
                commands.append(["mark-bad", self.release, f"--reason={bad}", *words])
            performed(remote, *commands, seconds=self._patience + GRACE_SECONDS * 4)

        outcomes = self.fleet.attempt(stop)
        return {name: value for name, value in outcomes.items() if isinstance(value, FabError)}

    def _put_back(self, failure: FabError) -> FabError:
        """The error of a release that did not get the traffic, when its instances are stopped."""
        with shielded():
            left = self.put_away()
        raise_fenced(left, lambda overtaken: self._overtaken(overtaken, failure))
        said = f"{self.release} did not come live:\n{failure}\nNo traffic was moved: {self._served}."
        if left:
            told = "\n".join(str(value) for value in left.values())
            return UnfinishedError(
                f"{said} Its instance may still run on {', '.join(left)}:\n{told}\n"
                f"Type: fab recover --env {self.fleet.environment.name}"
            )
        return FailedError(said)

    def _overtaken(self, overtaken: FabError, failure: FabError | None = None) -> FencedError:
        before = f" It had failed before that: {failure}" if failure else ""
        return FencedError(
            f"{overtaken}\nThis rollout of {self.release} was overtaken, and changes nothing more, on no host; what it "
            f"left is the newer one's to tidy up.{before}\nType: fab status --env {self.fleet.environment.name}"
        )

    @property
    def _served(self) -> str:
        return ", ".join(f"{name} serves {value or 'nothing'}" for name, value in self.previous.items())
