"""The environment's lease: one deploy at a time, kept alive by a heartbeat, and fenced by a rising number."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabfile.errors import FabError, FencedError, LockedError
from fabfile.fleet import AnswerError, performed
from fabfile.remote import Answer, Remote

# The tests' leases are shorter: a deploy that is frozen loses one while they watch.
TTL_SECONDS = int(os.environ.get("SLIPWAY_LEASE_SECONDS", "60"))
HEARTBEAT_SECONDS = TTL_SECONDS / 4
ASK_AGAIN_SECONDS = 2.0
LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class Claim:
    """Who asks for the lease, and for what. ticket: of the change, "" when there is none."""

    environment: str
    ticket: str = ""
    holder: str = field(default_factory=getpass.getuser)
    process: str = field(default_factory=lambda: f"{os.getpid()}@{socket.gethostname()}")
    command: str = field(default_factory=lambda: shlex.join(["fab", *sys.argv[1:]]))

    def words(self) -> list[str]:
        named = [("holder", self.holder), ("process", self.process), ("command", self.command)]
        named += [("ticket", self.ticket)] if self.ticket else []
        return ["lease", "acquire", *(f"--{name}={value}" for name, value in named), f"--ttl={TTL_SECONDS}"]


class Lease:
    """A lease that is held. fence: the number every change of this deploy carries."""

    def __init__(self, remote: Remote, fence: int, taken_over: dict[str, Any] | None) -> None:
        self.remote = remote
        self.fence = fence
        self.taken_over = taken_over
        self.is_given_back = False
        self._lost = ""
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)

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
        """Raise FencedError when somebody else has taken over: nothing more may be done then."""
        if self._lost:
            raise FencedError(
                f"{self._lost} This deploy stops where it is and changes nothing more. Type: fab status"
            )

    def start(self) -> None:
        self._heart.start()

    def stop(self) -> None:
        self._ended.set()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                answer = self.remote.perform(["lease", "renew", *self.fenced], seconds=HEARTBEAT_SECONDS)[0]
            except FabError:
                # The hosts are asked again in a moment; what must not happen, they refuse by themselves.
                continue
            if not answer.ok:
                self._lost = answer.message
                return


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
                    raise AnswerError(remote.name, answer)
            return Lease(remote, int(first.result["fence"]), first.result.get("taken_over")), answers[1:]
        if first.code != "lease-held":
            raise AnswerError(remote.name, first)
        if _is_gone(str(first.details.get("process", ""))):
            # It ran here and is dead: nobody renews its lease, and what it began is ours to finish.
            performed(remote, ["lease", "break"])
            continue
        if time.monotonic() >= deadline:
            raise LockedError(describe(claim.environment, first.details, wait))
        time.sleep(ASK_AGAIN_SECONDS)


@contextmanager
def beating(lease: Lease) -> Iterator[Lease]:
    """Keep a lease alive for as long as the work goes on, and give it back at its end."""
    lease.start()
    try:
        yield lease
    finally:
        lease.stop()
        if not lease._lost and not lease.is_given_back:
            give_back(lease)


def give_back(lease: Lease) -> None:
    """Release the lease; one that a newer deploy holds by now is not ours to release."""
    try:
        performed(lease.remote, lease.giving_back)
    except FabError as failure:
        if failure.exit_code != FencedError.exit_code:
            print(
                f"The lease was not given back ({failure}); it expires within {TTL_SECONDS} s.",
                file=sys.stderr,
            )


def describe(environment: str, held: dict[str, Any], waited: float) -> str:
    """Who is deploying, in sentences."""
    asked = f" (waited {waited:g} s)" if waited else ""
    ticket = f", ticket {held['ticket']}" if held.get("ticket") else ""
    return (
        f"{held.get('holder')} is deploying to {environment}{asked}: `{held.get('command')}` as process "
        f"{held.get('process')} since {held.get('since')}{ticket}, last heard of at {held.get('renewed')}. "
        f"{_life(str(held.get('process', '')))} Nothing was changed. Queue with --wait SECONDS. "
        f"If that deploy is dead, its lease ends by itself at {held.get('expires')}; to end it now: "
        f"fab unlock --env {environment}"
    )


def _life(process: str) -> str:
    number, _, host = process.partition("@")
    if host != socket.gethostname() or not number.isdigit():
        return f"Whether that process lives can be seen on {host or 'its own machine'}."
    return "That process is gone." if _is_gone(process) else "That process is alive."


def _is_gone(process: str) -> bool:
    """True for a process of this machine that has ended."""
    number, _, host = process.partition("@")
    return host == socket.gethostname() and number.isdigit() and not Path(f"/proc/{number}").exists()
