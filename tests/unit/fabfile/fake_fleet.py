"""App hosts that `fab` believes in: each has releases, notes, a fence and a lease, and dies when a test says so.

They answer as slipway does, as far as a rollout asks: what is live, who may, in which order. Nothing is started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabfile.hosts.connection import Answer, UnreachableError
from fabfile.hosts.environment import AppHost, Environment, Public
from fabfile.hosts.policies import Budget, Policy

R1, R2, R3, R4, R5, R6 = (f"2026112{day}T100000Z-aaaaaa{day}" for day in range(1, 7))
CHANGING = (
    "stage",
    "migrate",
    "start",
    "gate",
    "switch",
    "verify",
    "settle",
    "stop",
    "mark-bad",
    "prune",
    "recover",
    "restart",
    "drain",
    "undrain",
)


class KilledError(BaseException):
    """The controller is gone in this moment: nothing it would do comes after."""


@dataclass
class FakeHost:
    """down: it does not answer. before_command: called with each command first; what it raises is what happens.

    done: each command that changed something, in order.
    """

    name: str
    live: str | None
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    order: list[str] = field(default_factory=list)
    note: dict[str, Any] | None = None
    notes: list[dict[str, Any]] = field(default_factory=list)
    fence: int = 0
    lease: dict[str, Any] | None = None
    down: bool = False
    ready: bool = True
    drained: dict[str, Any] | None = None
    updates: dict[str, Any] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    before_command: Callable[[FakeHost, list[str]], None] = lambda host, words: None

    def answer(self, words: list[str]) -> Answer:
        """What slipway answers; words as `fab` sends them."""
        if self.down:
            raise UnreachableError(f"{self.name} was lost over SSH: it is down.")
        self.before_command(self, words)
        command, given, options = words[0], [w for w in words[1:] if not w.startswith("-")], _options(words)
        if command == "lease":
            return getattr(self, f"_lease_{given[0]}")(options)
        number = int(options.get("fence") or 0)
        if number and number < self.fence:
            return self._refused(
                command, "fence-stale", 7, f"A newer deploy has taken over: {self.fence}, {number}."
            )
        self.fence = max(self.fence, number)
        if command in self.failing:
            return self._refused(command, f"{command}-failed", 3, self.failing[command])
        result = getattr(self, f"_{command.replace('-', '_')}")(given, options, number)
        if isinstance(result, Answer):
            return result
        if command in CHANGING:
            self.done.append(" ".join([command, *given]))
        return Answer(command, 0, command in CHANGING, result)

    def _refused(self, command: str, code: str, exit_code: int, message: str, /, **details: Any) -> Answer:
        return Answer(command, exit_code, code=code, message=message, details=details)

    def _lease_acquire(self, options: dict[str, str]) -> Answer:
        kept, above = self.lease, int(options.get("above") or 0)
        own = kept is not None and kept["nonce"] == options["nonce"]
        if kept and not own and kept["state"] == "held":
            return self._refused("lease acquire", "lease-held", 4, "It is held.", **kept)
        self.fence = max(self.fence, above) + 1
        self.lease = {**options, "fence": self.fence, "state": "held", "idle": 0.0}
        return Answer("lease acquire", 0, True, {"fence": self.fence, "taken_over": None if own else kept})

    def _lease_renew(self, options: dict[str, str]) -> Answer:
        if self.lease is None or self.lease["fence"] != int(options["fence"]):
            return self._refused("lease renew", "lease-lost", 7, "There is no such lease.")
        return Answer("lease renew", 0, True, {})

    def _lease_release(self, options: dict[str, str]) -> Answer:
        if int(options["fence"]) < self.fence:
            return self._refused("lease release", "fence-stale", 7, "A newer deploy has taken over.")
        self.lease = None
        return Answer("lease release", 0, True, {})

    def _lease_break(self, options: dict[str, str]) -> Answer:
        assert self.lease is not None
        assert self.lease["fence"] == int(options["fence"])
        broken, self.lease = self.lease, {**self.lease, "state": "broken"}
        self.fence += 1
        return Answer("lease break", 0, True, {"broken": broken})

    def _status(self, *_: Any) -> dict[str, Any]:
        live = {
            "release": self.live,
            "schema_applied": "1",
            "socket": {"ready": self.ready},
            "unit": {"enabled": True},
        }
        return {
            "live": live if self.live else None,
            "before": [name for name in reversed(self.order) if name != self.live],
            "running": sorted(self.running),
            "drained": self.drained,
            "warm": None,
            "fence": self.fence,
            "lease": self.lease,
            "lock": None,
            "last_record": self.note,
            "migration": None,
            "unfinished": [],
            "half_built": [],
            "leftovers": [],
            "journal_torn": [],
        }

    def _list(self, *_: Any) -> dict[str, Any]:
        return {"releases": [self._row(name) for name in sorted(self.releases, reverse=True)]}

    def _row(self, name: str) -> dict[str, Any]:
        row = {"release": name, "verified": False, "bad": False, "schema_head": "1", "warm_until": None}
        row |= self.releases[name]
        return {**row, "state": "live" if name == self.live else "verified" if row["verified"] else "staged"}

    def _updates(self, *_: Any) -> dict[str, Any]:
        return self.updates

    def _record(self, given: list[str], options: dict[str, str], number: int) -> dict[str, Any]:
        import json

        self.note = {
            "kind": given[0],
            "release": options.get("release"),
            "fence": number,
            "time": f"{len(self.notes):06}",
            "details": json.loads(options.get("details") or "{}"),
        }
        self.notes.append(self.note)
        return {}

    def _start(self, given: list[str], *_: Any) -> dict[str, Any] | Answer:
        if given[0] not in self.releases:
            return self._refused("start", "not-staged", 2, f"{given[0]} is not here. Nothing was changed.")
        self.running.add(given[0])
        return {}

    def _gate(self, *_: Any) -> dict[str, Any]:
        return {}

    def _verify(self, *_: Any) -> dict[str, Any]:
        return {}

    def _bake(self, *_: Any) -> dict[str, Any]:
        return {}

    def _migrate(self, *_: Any) -> dict[str, Any]:
        return {"from": "1", "to": "1"}

    def _prune(self, *_: Any) -> dict[str, Any]:
        return {"removed": []}

    def _switch(self, given: list[str], options: dict[str, str], number: int) -> dict[str, Any] | Answer:
        expected = options.get("expect")
        if given[0] != self.live and expected is not None and expected != (self.live or "none"):
            return self._refused("switch", "live-differs", 2, f"{self.live} is live, not {expected}.")
        if given[0] in self.order:
            del self.order[self.order.index(given[0]) + 1 :]
        else:
            self.order.append(given[0])
        self.live = given[0]
        return {"took_us": 80}

    def _restart(self, *_: Any) -> dict[str, Any]:
        return {"quiet_s": 0.0, "took_ms": 900, "drained": False}

    def _drain(self, given: list[str], options: dict[str, str], number: int) -> dict[str, Any]:
        self.drained = self.drained or {"since": "10:00", "why": options.get("why")}
        return {"drained": True, "quiet_s": 0.0}

    def _undrain(self, *_: Any) -> dict[str, Any]:
        self.drained = None
        return {"drained": False}

    def _settle(self, given: list[str], *_: Any) -> dict[str, Any]:
        self.releases[given[0]] |= {"verified": True, "bad": False}
        self.running = {given[0]}
        return {}

    def _stop(self, given: list[str], *_: Any) -> dict[str, Any]:
        if given[0] != self.live:
            self.running.discard(given[0])
        return {}

    def _mark_bad(self, given: list[str], options: dict[str, str], number: int) -> dict[str, Any]:
        self.releases[given[0]]["bad"] = True
        return {}

    def _recover(self, *_: Any) -> dict[str, Any]:
        self.running = {self.live} if self.live else set()
        return {}


def _options(words: list[str]) -> dict[str, str]:
    pairs = (word.removeprefix("--").partition("=") for word in words if word.startswith("--"))
    return {name: value for name, _, value in pairs}


class FakeRemote:
    """The connection to one of them."""

    def __init__(self, host: FakeHost) -> None:
        self.fake = host
        self.name = host.name

    def open(self) -> None:
        if self.fake.down:
            raise UnreachableError(f"{self.name} cannot be reached over SSH: it is down.")

    def close(self) -> None:
        return

    def prepare(self, times: int) -> None:
        return

    def require_sessions(self, count: int = 2) -> None:
        return

    def session(self, optional: bool = False) -> Any:
        raise OSError("a fake host has no journal")

    def perform(self, *commands: list[str], seconds: float = 60.0) -> list[Answer]:
        said = []
        for words in commands:
            said.append(self.fake.answer(list(words)))
            if not said[-1].ok:
                break
        return said

    def ship(self, pieces: Iterable[bytes], words: list[str], seconds: float) -> Answer:
        release = _options(list(words))["release"]
        said = self.fake.answer(["record", "stage", *words])
        if said.ok:
            self.fake.notes.pop()
            self.fake.note = self.fake.notes[-1] if self.fake.notes else None
            self.fake.releases.setdefault(release, {})
        return said


def serving(name: str, live: str, *before: str) -> FakeHost:
    """A host on which these releases came live, the last one last."""
    order = [*before, live]
    return FakeHost(name, live, {each: {"verified": True} for each in order}, {live}, order)


def environment_of(hosts: list[FakeHost], folder: Path, path: str = "") -> Environment:
    """path: of the public one; "" when nobody looks."""
    return Environment(
        name="lab",
        kind="lab",
        app="shop",
        app_hosts=tuple(AppHost(host.name, "192.0.2.1", 22, "deploy", None, folder) for host in hosts),
        public=Public("shop.test", "127.0.0.1", 1, None, path),
        budget=Budget(2, 1, 1, 200),
        policy=Policy(gate=1, bake=0, warm=600, max_errors=1, keep=5),
    )
