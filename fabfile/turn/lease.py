"""The environment's lease: one deploy at a time, kept alive by a heartbeat, and fenced by a rising number."""

from __future__ import annotations

import getpass
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fabfile.errors import FabError, FencedError, InterruptError, LockedError
from fabfile.hosts import state
from fabfile.hosts.connection import Answer, Remote
from fabfile.hosts.fleet import Fleet, performed, refusal
from fabfile.hosts.state import HostState
from fabfile.interruption import shielded
from fabfile.turn import controller

# The tests' leases are shorter: a deploy that is frozen loses one while they watch.
TTL_SECONDS = int(os.environ.get("SLIPWAY_LEASE_SECONDS", "60"))
HEARTBEAT_SECONDS = TTL_SECONDS / 4
# A lease that was renewed since is never broken without a person who says so.
SILENT_SECONDS = 2 * HEARTBEAT_SECONDS
ASK_AGAIN_SECONDS = 2.0
LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class Claim:
    """Who asks for the lease, and for what. ticket: of the change, "" when there is none. reason: of a freeze."""

    environment: str
    ticket: str = ""
    reason: str = ""
    holder: str = field(default_factory=getpass.getuser)
    process: str = field(default_factory=controller.process)
    command: str = field(default_factory=lambda: shlex.join(["fab", *sys.argv[1:]])[:500])

    def words(self, above: int = 0, seconds: float = TTL_SECONDS) -> list[str]:
        """above: the highest fence that was seen on any host. seconds: how long it holds without a heartbeat."""
        named = [("holder", self.holder), ("process", self.process), ("command", self.command)]
        named += [("nonce", controller.NONCE), ("ttl", f"{seconds:g}")]
        optional = [("machine", controller.machine()), ("ticket", self.ticket), ("reason", self.reason)]
        named += [(name, value) for name, value in optional if value]
        named += [("above", str(above))] if above else []
        return ["lease", "acquire", *(f"--{name}={value}" for name, value in named)]


class Lease:
    """A lease that is held. fence: the number every change of this deploy carries."""

    def __init__(self, remote: Remote, fence: int, taken_over: dict[str, Any] | None) -> None:
        self.remote = remote
        self.fence = fence
        self.taken_over = taken_over
        self.is_given_back = False
        self._lost = ""
        self._heard = time.monotonic()
        self._asking = threading.Lock()
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)

    @property
    def is_lost(self) -> bool:
        return bool(self._lost)

    @property
    def words(self) -> list[str]:
        """What every change carries. It waits: a step of the deploy before may still be ending on the host."""
        return [*self.fenced, f"--wait={LOCK_SECONDS:g}"]

    @property
    def fenced(self) -> list[str]:
        return [f"--fence={self.fence}"]

    @property
    def giving_back(self) -> list[str]:
        """The command that ends it."""
        return ["lease", "release", *self.fenced]

    def check(self) -> None:
        """Raise FencedError when somebody else has taken over: nothing more may be done then.

        After a silence longer than the lease holds (a suspended machine, a cut connection) the host is asked.
        """
        if not self._lost and time.monotonic() - self._heard > TTL_SECONDS:
            self._renew(LOCK_SECONDS)
        if self._lost:
            raise FencedError(
                f"{self._lost} This deploy stops where it is and changes nothing more. Type: fab status"
            )

    def rise(self, claim: Claim, above: int) -> None:
        """Have a higher fence than other hosts have seen: a deploy that had the lease elsewhere came with it."""
        with self._asking:
            (answer,) = performed(self.remote, claim.words(above))
            self.fence = int(answer.result["fence"])

    def start(self) -> None:
        self._heart.start()

    def stop(self) -> None:
        self._ended.set()

    def _beat(self) -> None:
        while not self._lost and not self._ended.wait(HEARTBEAT_SECONDS):
            self._renew(HEARTBEAT_SECONDS)

    def _renew(self, seconds: float) -> None:
        try:
            with self._asking:
                answer = self.remote.perform(["lease", "renew", *self.fenced], seconds=seconds)[0]
        except Exception:
            # Asked again in a moment; what must not happen, the hosts refuse by themselves.
            return
        if answer.ok:
            self._heard = time.monotonic()
        elif answer.exit_code == FencedError.exit_code:
            self._lost = answer.message


def acquire(remote: Remote, claim: Claim, wait: float, *further: list[str]) -> tuple[Lease, list[Answer]]:
    """The lease, and the answers of further commands of the same round trip. wait: seconds to queue.

    Raises LockedError with who holds it, since when, whether that process lives, and what to type.
    """
    deadline = time.monotonic() + wait
    while True:
        answers = remote.perform(claim.words(), *further)
        first = answers[0]
        if first.ok:
            for answer in answers[1:]:
                if not answer.ok:
                    raise refusal(remote.name, answer)
            return Lease(remote, int(first.result["fence"]), first.result.get("taken_over")), answers[1:]
        if first.code != "lease-held":
            raise refusal(remote.name, first)
        held = first.details
        if controller.is_gone(str(held.get("process", "")), str(held.get("machine") or "")):
            # It ran here and is dead. What still renews its lease would be a process that this one cannot see.
            if float(held.get("idle") or 0.0) >= SILENT_SECONDS:
                performed(remote, ["lease", "break", f"--fence={held['fence']}"])
                continue
        elif time.monotonic() >= deadline:
            raise LockedError(describe(claim.environment, held, wait))
        time.sleep(ASK_AGAIN_SECONDS)


@contextmanager
def holding(fleet: Fleet, claim: Claim, wait: float) -> Iterator[tuple[Lease, dict[str, HostState]]]:
    """The environment's lease for as long as the block goes on, and the state of every host at its beginning.

    Raises LockedError also when another host than the first has a lease that lives: a deploy `--without` the first
    one took it there. The fence is above every number that any host has seen.
    """
    try:
        lease, answers = acquire(fleet.first, claim, wait, *state.READING)
    except InterruptError as interrupted:
        raise InterruptError(
            f"{interrupted} If it was given the lease already, that ends by itself within {TTL_SECONDS} s. Nothing "
            "else was asked for."
        ) from None
    with beating(lease):
        states = state.read_others(fleet, answers)
        for name, found in states.items():
            other = found.status.get("lease") or {}
            if name != fleet.first.name and other.get("state") == "held":
                raise LockedError(f"On {name}: {describe(claim.environment, other, 0)}")
        highest = max(int(found.status.get("fence") or 0) for found in states.values())
        if highest > lease.fence:
            lease.rise(claim, highest)
        yield lease, states


@contextmanager
def beating(lease: Lease) -> Iterator[Lease]:
    """Keep a lease alive for as long as the work goes on, and give it back at its end."""
    lease.start()
    try:
        yield lease
    finally:
        with shielded():
            lease.stop()
            if not lease.is_lost and not lease.is_given_back:
                give_back(lease)


def give_back(lease: Lease) -> None:
    """Release the lease; one that a newer deploy holds by now is not ours to release."""
    try:
        performed(lease.remote, lease.giving_back)
    except FencedError:
        return
    except FabError as failure:
        print(
            f"The lease was not given back ({failure}); it expires within {TTL_SECONDS} s.", file=sys.stderr
        )


def describe(environment: str, held: Mapping[str, Any], waited: float) -> str:
    """Who is deploying, or keeps everybody out, in sentences."""
    asked = f" (waited {waited:g} s)" if waited else ""
    unlocking = f"fab unlock --env {environment}"
    if held.get("freeze"):
        return (
            f"{held.get('holder')} keeps everybody out of {environment}{asked} since {held.get('since')}, until "
            f"{held.get('expires')}: {held['freeze']}. Nothing was changed. To let everybody in again: {unlocking}"
        )
    ticket = f", ticket {held['ticket']}" if held.get("ticket") else ""
    life = controller.life(str(held.get("process", "")), str(held.get("machine") or ""))
    ago = f" ({held['idle']:.0f} s ago)" if isinstance(held.get("idle"), int | float) else ""
    return (
        f"{held.get('holder')} is deploying to {environment}{asked}: `{held.get('command')}` as process "
        f"{held.get('process')} since {held.get('since')}{ticket}, last heard of at {held.get('renewed')}{ago}. "
        f"{life} Nothing was changed. Queue with --wait SECONDS. "
        f"If that deploy is dead, its lease ends by itself at {held.get('expires')}; to end it now: {unlocking}"
    )
