"""What `fab releases` and `status` show of the hosts' states, and of what customers get."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from fabfile.errors import FabError
from fabfile.hosts import state
from fabfile.hosts.connection import Remote
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet, performed
from fabfile.hosts.state import HostState, States
from fabfile.rollout import preflight
from fabfile.traffic import probe
from fabfile.traffic.public import address
from fabfile.upkeep import updates
from fabfile.upkeep.closing import whose

READY_SECONDS = 20.0


def state_of(remote: Remote) -> HostState:
    return state.of(remote.name, performed(remote, *state.READING, seconds=READY_SECONDS))


def read(
    environment: Environment, ask: Callable[[Remote], HostState] | None = None
) -> tuple[dict[str, HostState], dict[str, Exception]]:
    """The states of the hosts that answer, and how the others failed. ask: otherwise than for what is there alone."""
    with Fleet(environment) as fleet:
        outcomes = fleet.attempt(ask or state_of)
        unreachable: dict[str, Exception] = dict(fleet.unreachable)
    states = {}
    for name, value in outcomes.items():
        if isinstance(value, FabError):
            unreachable[name] = value
        else:
            states[name] = value
    return states, unreachable


def show_releases(states: States, unreachable: dict[str, Exception], as_json: bool) -> None:
    """A table with a row for each release and a column for each host."""
    if as_json:
        print(json.dumps({name: list(found.releases.values()) for name, found in states.items()}))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("RELEASE", "COMMIT", "BY", "SIGNED", "AGE", "SCHEMA", *states):
        table.add_column(column, no_wrap=True)
    names = sorted({name for found in states.values() for name in found.releases}, reverse=True)
    for name in names:
        row = next(found.releases[name] for found in states.values() if name in found.releases)
        commit = str(row.get("git_sha") or "-")[:7] + (" dirty" if row.get("dirty") else "")
        table.add_row(
            name,
            commit,
            str(row.get("author") or "-"),
            str(row.get("signed_by") or "-"),
            _age(name),
            str(row.get("schema_head") or "-"),
            *(found.state_of(name) for found in states.values()),
        )
    _print(table)


def _age(release: str) -> str:
    built = datetime.strptime(release[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    minutes = int((datetime.now(UTC) - built).total_seconds() // 60)
    if minutes < 0:
        return "in the future"
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 60 * 48 else f"{minutes // 1440} d"


@dataclass(frozen=True)
class Look:
    """What the hosts said, who said nothing, and what a customer is answered now, or why nothing."""

    environment: Environment
    states: States
    unreachable: Mapping[str, Exception]
    public: probe.Answer | str

    @property
    def at_work(self) -> str:
        """Who deploys, or keeps everybody out, in a sentence; "" for nobody."""
        for name, found in self.states.items():
            held = found.status.get("lease") or {}
            if held.get("state") == "held":
                return whose(name, held)
        return ""

    @property
    def wrong(self) -> list[str]:
        """All that is not as it should be. While somebody deploys, what a deploy does is no fault."""
        said = [str(failure) for failure in self.unreachable.values()]
        leases = [found.status.get("lease") or {} for found in self.states.values()]
        quiet = any(held.get("state") == "held" and not held.get("freeze") for held in leases)
        if not quiet and (unequal := state.unequal(self.states)):
            said.append(f"{unequal}. Type: fab recover --env {self.environment.name}")
        for found in self.states.values():
            said += [f"{found.name}: {problem}" for problem in problems(found, quiet)]
        return said + self._public()

    def _public(self) -> list[str]:
        """Customers get nothing, or not what is live. In maintenance that is meant."""
        if not self.environment.public.path:
            return []
        asked = address(self.environment.public)
        if isinstance(self.public, str):
            return [f"customers get no answer: {asked}: {self.public}"]
        if self.public.in_maintenance:
            return []
        if self.public.fault:
            return [f"customers are refused: {asked} answers {self.public.fault}"]
        live = {found.live for found in self.states.values()}
        if self.public.release and live and self.public.release not in live:
            return [f"customers are answered by {self.public.release}, which is live on no host: {asked}"]
        return []


def look(environment: Environment) -> Look:
    """Ask the hosts, and the public path as a customer does, at the same time."""
    asking = ThreadPoolExecutor(max_workers=1)
    asked = asking.submit(probe.ask_once, environment.public) if environment.public.path else None
    states, unreachable = read(environment, lambda remote: updates.beside(remote, state_of(remote)))
    said = asked.result() if asked else ""
    asking.shutdown()
    return Look(environment, states, unreachable, said)


def show_status(look: Look, as_json: bool) -> bool:
    """Who is at work, what customers get, one line a host, then what is wrong. Returns whether something is."""
    wrong = look.wrong
    if as_json:
        public = (
            look.public if isinstance(look.public, str) else {**vars(look.public), "fault": look.public.fault}
        )
        hosts = {name: found.status for name, found in look.states.items()}
        print(json.dumps({"hosts": hosts, "public": public, "at_work": look.at_work, "wrong": wrong}))
        return bool(wrong)
    table = Table(box=None, pad_edge=False)
    for column in ("HOST", "LIVE", "STATE", "WARM", "SCHEMA", "LAST ROLLOUT"):
        table.add_column(column, no_wrap=True)
    for found in look.states.values():
        table.add_row(*_line(found))
    _print(table)
    for sentence in filter(
        None, [look.at_work, *(doing for each in look.states.values() for doing in busy(each))]
    ):
        print(f"> {sentence}")
    if not isinstance(look.public, str) and not look.public.fault:
        answered = f"HTTP {look.public.status} from {look.public.release or 'no release'}"
        print(f"customers: {address(look.environment.public)} answers {answered}")
    for sentence in wrong:
        print(f"! {sentence}")
    return bool(wrong)


def busy(found: HostState) -> list[str]:
    """What is done on one host just now, and what is worth knowing and no fault."""
    said = []
    if holder := found.status.get("lock"):
        said.append(
            f"{found.name}: {holder.get('command')} runs since {holder.get('since')}, by {holder.get('who')}"
        )
    if left := found.status.get("migration"):
        how = "runs" if left.get("running") else "has ended, and nobody saw how: fab migrate"
        said.append(f"{found.name}: a migration of {left['release']}, begun at {left['began']}, {how}")
    return said + updates.waiting(found) + preflight.programs({found.name: found})


def problems(found: HostState, quiet: bool = False) -> list[str]:
    """What is not as it should be on one host, in sentences. quiet: a rollout is at work, and unfinished by nature."""
    said, live = [], found.status.get("live")
    quiet = quiet or bool(found.status.get("lock"))
    if not live:
        return [] if quiet else ["no release is live"]
    socket, unit = live.get("socket") or {}, live.get("unit") or {}
    if not socket.get("ready"):
        said.append(f"{live['release']} is not ready: {socket.get('error') or socket.get('body')}")
    if quiet:
        return said
    if not unit.get("enabled"):
        said.append(f"{live['release']} does not start at boot")
    warm = (found.status.get("warm") or {}).get("release")
    extra = [name for name in found.status.get("running") or [] if name not in (live["release"], warm)]
    said += [f"{name} runs beside what is live, and nobody needs it: fab recover" for name in extra]
    said += filter(None, (_process(each, live["release"]) for each in found.status.get("processes") or []))
    said += [
        f"the step {entry['step']} of {entry.get('release')} never ended"
        for entry in found.status["unfinished"]
    ]
    said += [f"half-built: {name}" for name in found.status["half_built"]]
    said += [f"left behind: {name}" for name in found.status["leftovers"]]
    # A program from before says nothing of them.
    said += found.status.get("log_queues") or []
    said += ["a line of the journal is torn"] if found.status["journal_torn"] else []
    return said


def _process(found: dict[str, Any], live: str) -> str:
    """What is wrong with a further process, if anything is."""
    name, unit = f"the process {found['name']} of {found['release']}", found["unit"]
    if found["release"] != live:
        return f"{name} is there, and {live} is live: fab recover"
    return "" if unit["active"] == "active" else f"{name} is {unit['active']} ({unit['sub']}): fab logs"


def _line(found: HostState) -> list[str]:
    live = found.status.get("live") or {}
    ready = "ready" if (live.get("socket") or {}).get("ready") else "NOT READY"
    flags = [ready if live else "nothing live"]
    flags += [word for word in ("drained", "maintenance") if found.status.get(word)]
    warm = [
        f"{name} until {str(row.get('warm_until') or '')[11:16]}"
        for name, row in found.releases.items()
        if found.state_of(name) == "warm"
    ]
    last = found.status.get("last_record") or {}
    said = f"{last.get('kind', '-')} {last.get('release', '')} {last.get('time', '')[:19]} by {last.get('who', '-')}"
    return [
        found.name,
        found.live or "-",
        ", ".join(flags),
        ", ".join(warm) or "-",
        str(found.schema_applied or "-"),
        said if last else "-",
    ]


def _print(table: Table) -> None:
    # A pipe has no width: nothing may be cut there.
    console = Console()
    console.width = console.width if console.is_terminal else 400
    console.print(table)
