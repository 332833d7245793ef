"""The one path by which a release comes live on all hosts: prove it everywhere, then move the traffic, or take it back.

Deploy and rollback are this path; they differ only in where the release comes from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from fabfile.environment import Policy
from fabfile.errors import FabError, FailedError, FencedError, UnfinishedError
from fabfile.fleet import AnswerError, Fleet, HostsError, performed
from fabfile.lease import Lease
from fabfile.probe import Probe
from fabfile.remote import Answer, Remote
from fabfile.report import Report

# Longer than what each command may take by itself.
GRACE_SECONDS = 30.0
# A gate that fails ends with the stop of its instance; one that does not listen is killed after TimeoutStopSec.
STOP_SECONDS = 40.0
# Answers of the public path, all from the new release, that end a switch.
CONVERGED = 3
# What a host says when a release that had the traffic does not serve.
OWN_FAULTS = ("switch-failed", "verify-failed", "bake-failed")


@dataclass
class Rollout:
    """release: what is to be live. previous: what each host serves now, None for a host that serves nothing."""

    fleet: Fleet
    lease: Lease
    report: Report
    policy: Policy
    release: str
    previous: dict[str, str | None]
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
        except HostsError as failure:
            self.put_away()
            raise self._nothing_moved("did not become ready", failure) from failure
        self.lease.check()

    def prove_and_move(self, *before: Sequence[str]) -> None:
        """The same as prove and move on the only host: no barrier is needed, so one round trip does both."""
        (remote,) = self.fleet.remotes
        self.report.step("gate, switch", self.release)
        try:
            performed(
                remote, *self._proving(before), *self._moving(remote), seconds=self._patience + GRACE_SECONDS
            )
        except FencedError:
            raise
        except AnswerError as failure:
            if failure.answer.command in ("switch", "verify"):
                self.switched.append(remote)
                self._take_back(failure)
            self.put_away()
            raise self._nothing_moved("did not become ready", failure) from failure
        except (FabError, KeyboardInterrupt) as failure:
            # How far it came is not known; going back is right in any case.
            self.switched.append(remote)
            self._take_back(failure)

    @property
    def _patience(self) -> float:
        return self.policy.gate + STOP_SECONDS + GRACE_SECONDS

    def _proving(self, before: Sequence[Sequence[str]]) -> list[list[str]]:
        words = [*before, ["start", self.release], ["gate", self.release, f"--timeout={self.policy.gate:g}"]]
        return [[*command, *self.lease.words] for command in words]

    def _moving(self, remote: Remote) -> list[list[str]]:
        expected = f"--expect={self.previous[remote.name] or 'none'}"
        return [["switch", self.release, expected, *self.lease.words], ["verify", self.release]]

    def move(self, batches: Sequence[Sequence[Remote]], bake: float) -> None:
        """Move the traffic batch by batch, and watch each for `bake` seconds. On failure every host goes back."""
        try:
            for batch in batches:
                self.lease.check()
                self._switch(batch)
                self._bake(batch, bake)
        except FencedError:
            raise
        except (FabError, KeyboardInterrupt) as failure:
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
        try:
            self.fleet.each(lambda remote: performed(remote, *commands, *last, seconds=GRACE_SECONDS * 4))
            self.lease.is_given_back = bool(last)
        except HostsError as failure:
            served = f"{self.release} came live on every host, but"
            if any(each.exit_code == FencedError.exit_code for each in failure.failures.values()):
                raise FencedError(
                    f"{served} this command was overtaken before it had tidied up, and goes no further:\n{failure}\n"
                    f"Type: fab status --env {self.fleet.environment.name}"
                ) from failure
            raise UnfinishedError(
                f"{served} tidying up failed:\n{failure}\nType: fab recover --env {self.fleet.environment.name}"
            ) from failure

    def _switch(self, batch: Sequence[Remote]) -> None:
        self.report.step("switch", ", ".join(remote.name for remote in batch))

        def switch(remote: Remote) -> Answer:
            self.switched.append(remote)
            answers = performed(remote, *self._moving(remote), seconds=GRACE_SECONDS)
            self.report.done(remote.name, f"live, switched in {answers[0].result.get('took_us', 0)} µs")
            return answers[0]

        self.fleet.each(switch, batch)

    def _bake(self, batch: Sequence[Remote], seconds: float) -> None:
        if seconds <= 0:
            return
        self.report.step("bake", f"{seconds:g} s under traffic")
        words = ["bake", self.release, f"--seconds={seconds:g}", f"--max-errors={self.policy.max_errors:g}"]
        self.fleet.each(lambda remote: performed(remote, words, seconds=seconds + GRACE_SECONDS), batch)

    def _take_back(self, failure: BaseException) -> None:
        """Raises FailedError when every host is back on what it served, UnfinishedError when one is not."""
        self.report.step(
            "take back", f"{len(self.switched)} of {len(self.fleet.remotes)} hosts were switched"
        )
        reason = str(failure) or "interrupted"

        def back(remote: Remote) -> Answer | None:
            previous = self.previous[remote.name]
            if previous is None:
                return None
            answers = performed(
                remote,
                ["start", previous, *self.lease.words],
                ["switch", previous, *self.lease.words],
                ["verify", previous],
                seconds=GRACE_SECONDS * 2,
            )
            self.report.done(remote.name, f"back on {previous}")
            return answers[-1]

        outcomes = self.fleet.attempt(back, self.switched)
        stuck = {name: value for name, value in outcomes.items() if isinstance(value, FabError)}
        blamed = is_its_own(failure)
        marked = self.put_away(reason.splitlines()[0][:500] if blamed else "")
        fenced = [
            each for each in (*stuck.values(), *marked.values()) if each.exit_code == FencedError.exit_code
        ]
        if fenced:
            raise FencedError(
                f"{fenced[0]}\nThis deploy of {self.release} had failed ({reason}) and changes nothing more. "
                f"Type: fab status --env {self.fleet.environment.name}"
            ) from failure
        if stuck or marked:
            told = "\n".join(str(value) for value in [*stuck.values(), *marked.values()])
            raise UnfinishedError(
                f"{self.release} failed: {reason}\nGoing back did not end on {', '.join(stuck | marked)}:\n{told}\n"
                f"Type: fab recover --env {self.fleet.environment.name}"
            ) from failure
        served = ", ".join(f"{name} serves {value or 'nothing'}" for name, value in self.previous.items())
        raise FailedError(
            f"{self.release} failed after traffic had moved: {reason}\nEvery host went back: {served}."
            + (f" {self.release} is marked bad." if blamed else "")
        ) from failure

    def put_away(self, bad: str = "") -> dict[str, FabError]:
        """Stop its instances where it is not live; mark it bad when a reason is given. Failures, by host."""

        def stop(remote: Remote) -> None:
            commands = [["stop", self.release, "--unless-live", *self.lease.words]]
            if bad:
                commands.append(["mark-bad", self.release, f"--reason={bad}", *self.lease.words])
            performed(remote, *commands, seconds=GRACE_SECONDS * 4)

        outcomes = self.fleet.attempt(stop)
        return {name: value for name, value in outcomes.items() if isinstance(value, FabError)}

    def _nothing_moved(self, what: str, failure: FabError) -> FabError:
        served = ", ".join(f"{name} serves {value or 'nothing'}" for name, value in self.previous.items())
        kind = FencedError if failure.exit_code == FencedError.exit_code else FailedError
        return kind(f"{self.release} {what}:\n{failure}\nNo traffic was moved: {served}.")


def is_its_own(failure: BaseException) -> bool:
    """Whether the release is to blame: not for a lost connection, nor for whoever pressed Ctrl-C."""
    failures = failure.failures.values() if isinstance(failure, HostsError) else [failure]
    return any(isinstance(each, AnswerError) and each.answer.code in OWN_FAULTS for each in failures)


def batches(remotes: Sequence[Remote], size: str, canary: bool) -> list[list[Remote]]:
    """The hosts in the order they are switched. size: a number of hosts, or a share such as 25%; "" is all at once."""
    rest = list(remotes)
    ordered = [[rest.pop(0)]] if canary and len(rest) > 1 else []
    share = len(remotes) * int(size[:-1]) // 100 if size.endswith("%") else int(size or len(remotes))
    count = max(1, share)
    while rest:
        ordered.append(rest[:count])
        rest = rest[count:]
    return ordered


def wait_for_the_public(probe: Probe, release: str, seconds: float) -> bool:
    """Wait until clients are answered by the release alone."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if probe.latest == release:
            return True
        time.sleep(0.02)
    return False
