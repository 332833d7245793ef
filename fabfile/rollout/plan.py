"""What a deploy will do on each host, and what is in its way, said before anything changes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from fabfile import schema
from fabfile.bundle import signing
from fabfile.bundle.host_rules import declaration_rules
from fabfile.hosts.environment import Environment
from fabfile.hosts.state import HostState, States
from fabfile.rollout import preflight
from fabfile.schema import Revision

# What a wheel takes that is installed, beside the copy of the bundle: unpacked, and the environment made of it.
SPACE_FACTOR = 5
ADMIN_CONNECTIONS = 10
RESERVED_CONNECTIONS = 3
WHEEL = re.compile(r"(?:app|wheelhouse)/([^-/]+)-([^-/]+)-.*\.whl")


@dataclass(frozen=True)
class HostPlan:
    """One host. packages: added, removed and changed ones as `name version`. space: bytes it will take."""

    host: str
    live: str | None
    added: list[str]
    removed: list[str]
    changed: list[str]
    space: int


@dataclass(frozen=True)
class Plan:
    """release: what will be live. migrations: revisions to apply, once; held_back: those left for later.

    problems: why it cannot be done. notes: what is worth knowing and in nobody's way. locks: what each migration
    locks, a line each, where somebody asked. backup: of the newest one, where there is something to apply.
    """

    environment: str
    release: str
    hosts: list[HostPlan]
    migrations: list[str]
    held_back: list[str]
    connections: str
    rollback: str
    problems: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    backup: str = ""

    @property
    def digest(self) -> str:
        """A short name of all that this plan says, kept in the audit record of the deploy that follows it.

        Without the locks, which follow from the release and its migrations, and the notes and the backup, which age.
        """
        said = {
            name: value for name, value in asdict(self).items() if name not in ("locks", "notes", "backup")
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]

    def text(self) -> str:
        """The plan for a person."""
        lines = [f"{self.release} to {self.environment} (plan {self.digest})"]
        for each in self.hosts:
            lines.append(f"  {each.host}: live now {each.live or 'nothing'}; takes {each.space / 1e6:.0f} MB")
            for what in ("added", "changed", "removed"):
                names = getattr(each, what)
                lines += [f"    {what}: {', '.join(names)}"] if names else []
        lines.append("  migrations: " + ("; ".join(self.migrations) or "none"))
        lines += [f"    {lock}" for lock in self.locks]
        lines += [f"  backup: {self.backup}"] if self.backup else []
        lines += [
            f"  held back: {revision}; when no kept release needs the old shape: fab migrate --contract"
            for revision in self.held_back
        ]
        lines.append(f"  connections: {self.connections}")
        lines.append("  requests lost: 0 wanted; the public path is watched while traffic moves")
        lines.append(f"  rollback: {self.rollback}")
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  IN THE WAY: {problem}" for problem in self.problems]
        return "\n".join(lines)


def make(environment: Environment, manifest: dict[str, Any], states: States, signed_with: str = "") -> Plan:
    """The plan to bring a bundle's release to the hosts as they are. signed_with: the fingerprint of a key."""
    release = str(manifest["release"])
    chain = schema.of_manifest(manifest)
    applied = next((state.schema_applied for state in states.values() if state.schema_applied), None)
    waiting = schema.pending(chain, applied)
    held = schema.held_back(waiting, applied)
    memory = preflight.memory(release, states)
    return Plan(
        environment=environment.name,
        release=release,
        hosts=[_host(state, manifest) for state in states.values()],
        migrations=[_named(revision) for revision in waiting if revision not in held],
        held_back=[_named(revision) for revision in held],
        connections=_connections(environment)[0],
        rollback=_rollback(states),
        problems=[
            *_problems(manifest, states, held, chain, applied),
            *_connections(environment)[1],
            *_prefix(environment, manifest),
            *_database(environment, manifest),
            *_space(states, manifest),
            *signing.complaints(environment, signed_with, states),
            *memory.problems,
        ],
        notes=[
            *preflight.names(release, states),
            *preflight.clocks(states),
            *preflight.programs(states),
            *memory.notes,
        ],
    )


def _space(states: States, manifest: dict[str, Any]) -> list[str]:
    """Hosts whose disk does not take the release."""
    found = []
    for state in states.values():
        free, takes = state.status.get("free_bytes"), _host(state, manifest).space
        if isinstance(free, int) and free < takes:
            found.append(
                f"{state.name} has {free / 1e6:.0f} MB free for releases and it takes {takes / 1e6:.0f}: "
                "fab prune --keep 2, or make room"
            )
    return found


def _named(revision: Revision) -> str:
    return f"{revision.id} {revision.title} ({revision.kind})"


def _packages(files: Iterable[str]) -> dict[str, str]:
    matches = filter(None, map(WHEEL.fullmatch, files))
    return {match.group(1).lower().replace("_", "-"): match.group(2) for match in matches}


def _host(state: HostState, manifest: dict[str, Any]) -> HostPlan:
    new = _packages(manifest["files"])
    live = state.status.get("live") or {}
    old = live.get("packages") or {}
    return HostPlan(
        host=state.name,
        live=state.live,
        added=[f"{name} {new[name]}" for name in sorted(new.keys() - old.keys())],
        removed=[f"{name} {old[name]}" for name in sorted(old.keys() - new.keys())],
        changed=[
            f"{name} {old[name]} -> {new[name]}"
            for name in sorted(new.keys() & old.keys())
            if new[name] != old[name]
        ],
        space=_takes(manifest["files"], old)
        if state.state_of(str(manifest["release"])) in ("missing", "half-built")
        else 0,
    )


def _takes(files: dict[str, Any], live: dict[str, str]) -> int:
    """Bytes: with the packages of the live release, it shares the environment of that one."""
    own = {name: int(each["size"]) for name, each in files.items() if not name.startswith("wheelhouse/")}
    everything = sum(int(each["size"]) for each in files.values())
    shares = _packages(files.keys() - own.keys()).items() <= live.items()
    return everything + SPACE_FACTOR * (sum(own.values()) if shares else everything)


def _connections(environment: Environment) -> tuple[str, list[str]]:
    if not environment.has_database:
        return "none, because the inventory has no database", []
    budget = environment.budget
    needed = len(environment.app_hosts) * 2 * budget.of_one_release + ADMIN_CONNECTIONS
    offered = budget.max_connections - RESERVED_CONNECTIONS
    said = f"{needed} of {offered} while two releases run"
    short = f"two live releases need {needed} connections and the database offers {offered}"
    return said, [
        f"{short}: raise postgresql_max_connections or use smaller pools"
    ] if needed > offered else []


def _prefix(environment: Environment, manifest: dict[str, Any]) -> list[str]:
    """Settings that the service would not find."""
    said = (manifest.get("service") or {}).get("environment_prefix")
    if not said or not environment.prefix or said == environment.prefix:
        return []
    return [
        f"the service's settings begin with {said}, and the hosts' with {environment.prefix}: "
        f"app_environment_prefix: {said}, then ansible-playbook -i inventory/{environment.name} site.yml"
    ]


def _database(environment: Environment, manifest: dict[str, Any]) -> list[str]:
    """What the service asks of a database that is not there."""
    said = manifest.get("service") or {}
    parts = [
        part
        for part in said.get("environment", {}).values()
        if not declaration_rules.CREDENTIAL.fullmatch(str(part))
    ]
    asking = (["environment"] if parts else []) + (["migrations"] if "migrations" in said else [])
    if environment.has_database or not asking:
        return []
    return [
        f"the service has {' and '.join(asking)} in its [tool.slipway], and inventory/{environment.name} has no host "
        "in the group db: name one there, or leave that out of the service"
    ]


def _rollback(states: States) -> str:
    live = sorted({state.live for state in states.values() if state.live})
    return f"possible, to {', '.join(live)}" if live else "nothing is live to go back to"


def _problems(
    manifest: dict[str, Any],
    states: States,
    held: list[Revision],
    chain: list[Revision],
    applied: str | None,
) -> list[str]:
    release, found = str(manifest["release"]), []
    for state in states.values():
        row = state.releases.get(release)
        if row and row.get("bad"):
            found.append(f"{release} is marked bad on {state.name}: {row.get('bad_reason') or ''}")
    stuck = [revision.id for revision in held if revision.kind == "expand"]
    if stuck:
        found.append(
            f"it needs {', '.join(stuck)}, which follows {held[0].id}, and that takes away what the live release "
            f"needs. Deploy a release that ends with {held[0].id}, and then one that ends with {stuck[-1]}"
        )
    if chain and applied and applied not in {revision.id for revision in chain}:
        found.append(
            f"the database is on the revision {applied}, which this release does not know: it is too old"
        )
    return found
