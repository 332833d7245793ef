"""What `fab releases`, `status` and `audit` show of the hosts' states."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from fabfile import state
from fabfile.environment import Environment
from fabfile.errors import FabError
from fabfile.fleet import Fleet, performed
from fabfile.state import HostState, States

READY_SECONDS = 20.0


def read(environment: Environment) -> tuple[dict[str, HostState], dict[str, Exception]]:
    """The states of the hosts that answer, and how the others failed."""
    with Fleet(environment) as fleet:
        outcomes = fleet.attempt(
            lambda remote: state.of(remote.name, performed(remote, *state.READING, seconds=READY_SECONDS))
        )
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
    for column in ("RELEASE", "COMMIT", "BY", "AGE", "SCHEMA", *states):
        table.add_column(column, no_wrap=True)
    names = sorted({name for found in states.values() for name in found.releases}, reverse=True)
    for name in names:
        row = next(found.releases[name] for found in states.values() if name in found.releases)
        commit = str(row.get("git_sha") or "-")[:7] + (" dirty" if row.get("dirty") else "")
        table.add_row(
            name,
            commit,
            str(row.get("author") or "-"),
            _age(name),
            str(row.get("schema_head") or "-"),
            *(found.state_of(name) for found in states.values()),
        )
    _print(table)


def _age(release: str) -> str:
    built = datetime.strptime(release[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    minutes = int((datetime.now(UTC) - built).total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 60 * 48 else f"{minutes // 1440} d"


def show_status(
    environment: Environment, states: States, unreachable: dict[str, Exception], as_json: bool
) -> bool:
    """One line a host, then what is wrong. Returns whether something is."""
    wrong = [str(failure) for failure in unreachable.values()]
    if unequal := state.unequal(states):
        wrong.append(f"{unequal}. Type: fab recover --env {environment.name}")
    for found in states.values():
        wrong += [f"{found.name}: {problem}" for problem in problems(found)]
    if as_json:
        print(json.dumps({"hosts": {name: found.status for name, found in states.items()}, "wrong": wrong}))
        return bool(wrong)
    table = Table(box=None, pad_edge=False)
    for column in ("HOST", "LIVE", "STATE", "WARM", "SCHEMA", "LAST ROLLOUT"):
        table.add_column(column, no_wrap=True)
    for found in states.values():
        table.add_row(*_line(found))
    _print(table)
    for sentence in wrong:
        print(f"! {sentence}")
    return bool(wrong)


def problems(found: HostState) -> list[str]:
    """What is not as it should be on one host, in sentences."""
    said, live = [], found.status.get("live")
    if not live:
        return ["no release is live"]
    socket, unit = live.get("socket") or {}, live.get("unit") or {}
    if not socket.get("ready"):
        said.append(f"{live['release']} is not ready: {socket.get('error') or socket.get('body')}")
    if not unit.get("enabled"):
        said.append(f"{live['release']} does not start at boot")
    said += [
        f"the step {entry['step']} of {entry.get('release')} never ended"
        for entry in found.status["unfinished"]
    ]
    said += [f"half-built: {name}" for name in found.status["half_built"]]
    said += [f"left behind: {name}" for name in found.status["leftovers"]]
    said += ["a line of the journal is torn"] if found.status["journal_torn"] else []
    return said


def _line(found: HostState) -> list[str]:
    live = found.status.get("live") or {}
    ready = "ready" if (live.get("socket") or {}).get("ready") else "NOT READY"
    flags = [ready if live else "nothing live"]
    flags += [word for word in ("drained", "maintenance") if found.status.get(word)]
    warm = [name for name in found.releases if found.state_of(name) == "warm"]
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


def show_audit(found: dict[str, Any], verify: bool) -> bool:
    """Returns whether a host's records are not whole."""
    broken = False
    for name, value in found.items():
        if isinstance(value, FabError):
            broken = True
            print(f"{name}: {value}")
        elif verify:
            print(f"{name}: {value['verified']['lines']} lines, the chain is whole.")
        else:
            for entry in value["entries"]:
                details = json.dumps(entry.get("details") or {}, sort_keys=True)
                result = f" {entry['result']}" if entry.get("result") else ""
                who = f"{entry['time'][:19]}  {entry['who']}"
                print(f"{name}  {who}  {entry['step']}{result}  {entry.get('release') or ''}  {details}")
    return broken


def _print(table: Table) -> None:
    # A pipe has no width: nothing may be cut there.
    console = Console()
    console.width = console.width if console.is_terminal else 400
    console.print(table)
