"""An environment as `fab` needs it: its app hosts, its public address, its policy; all from the inventory.

`ansible-inventory` takes a second, so its answer is kept under build/inventory for as long as no file it was
made of has changed. Encrypted files are left out: no secret is needed to deploy.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabfile.errors import RefusedError
from fabfile.variables import Variables

PROJECT = Path(__file__).parent.parent
NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
VAULT = b"$ANSIBLE_VAULT"
# Values that playbooks derive, which an inventory may override.
PLAYBOOKS = "playbooks"


@dataclass(frozen=True)
class AppHost:
    """A host, of the service or of its database, and how SSH reaches it as the user who deploys."""

    name: str
    address: str
    port: int
    user: str
    key_file: Path | None
    known_hosts: Path


@dataclass(frozen=True)
class Public:
    """Where clients come in. address: the edge's, asked directly, whatever DNS says. ca: None is the system's."""

    name: str
    address: str
    port: int
    ca: Path | None


@dataclass(frozen=True)
class Budget:
    """Connections: what one release may hold on one host, and what the server offers to all of them."""

    workers: int
    pool_size: int
    max_overflow: int
    max_connections: int

    @property
    def of_one_release(self) -> int:
        return self.workers * (self.pool_size + self.max_overflow)


@dataclass(frozen=True)
class Policy:
    """gate, bake, warm: seconds. max_errors: percent of 5xx while baking. keep: releases kept on a host."""

    gate: float
    bake: float
    warm: float
    max_errors: float
    keep: int


@dataclass(frozen=True)
class Environment:
    """kind: lab, staging or production."""

    name: str
    kind: str
    app_hosts: tuple[AppHost, ...]
    public: Public
    budget: Budget
    policy: Policy


def load(name: str, inventories: Path = PROJECT / "inventory") -> Environment:
    """The environment of inventory/NAME. Raises RefusedError when there is none, or it has no app host."""
    inventory = _inventory(name, inventories)
    listed = _listed(inventory)
    names = listed.get("app", {}).get("hosts", [])
    if not names:
        raise RefusedError(f"The environment {name} has no host in the group app; nothing can be deployed.")
    variables = Variables(listed, inventory)
    app_hosts = tuple(_host(variables, host) for host in names)
    return Environment(
        name=name,
        kind=str(variables.of(names[0], "slipway_environment")),
        app_hosts=app_hosts,
        public=_public(variables, listed),
        budget=_budget(variables, names[0]),
        policy=_policy(variables, names[0]),
    )


def host_of(name: str, group: str, inventories: Path = PROJECT / "inventory") -> AppHost:
    """The first host of another group of inventory/NAME, such as db. Raises RefusedError when there is none."""
    inventory = _inventory(name, inventories)
    listed = _listed(inventory)
    for host in listed.get(group, {}).get("hosts", []):
        return _host(Variables(listed, inventory), host)
    raise RefusedError(f"The environment {name} has no host in the group {group}. Nothing was changed.")


def variables_of(name: str, inventories: Path = PROJECT / "inventory") -> Variables:
    """All values of inventory/NAME. Raises RefusedError when there is none."""
    inventory = _inventory(name, inventories)
    return Variables(_listed(inventory), inventory)


def _inventory(name: str, inventories: Path) -> Path:
    if not NAME.fullmatch(name):
        raise RefusedError(f"{name!r} is not the name of an environment. {_choices(inventories)}")
    inventory = inventories / name
    if not inventory.is_dir():
        raise RefusedError(f"There is no environment {name!r}. {_choices(inventories)}")
    return inventory


def chosen(wanted: str) -> str:
    """The environment's name: as asked, else SLIPWAY_ENV, else the lab."""
    return wanted or os.environ.get("SLIPWAY_ENV") or "lab"


def _choices(inventories: Path) -> str:
    names = sorted(path.parent.name for path in inventories.glob("*/hosts.yml"))
    return f"Choose one of {', '.join(names)} with --env NAME, or set SLIPWAY_ENV. Nothing was changed."


def _host(variables: Variables, host: str) -> AppHost:
    key = variables.of(host, "ansible_ssh_private_key_file", None)
    known_hosts = variables.of(host, "ssh_known_hosts_file", "~/.ssh/known_hosts")
    return AppHost(
        name=host,
        address=str(variables.of(host, "ansible_host", host)),
        port=int(variables.of(host, "ansible_port", 22)),
        user=str(variables.of(host, "deploy_user", "deploy")),
        key_file=_path(key) if key else None,
        known_hosts=_path(known_hosts),
    )


def _path(text: Any) -> Path:
    return Path(os.path.normpath(Path(str(text)).expanduser()))


def _public(variables: Variables, listed: dict[str, Any]) -> Public:
    edges = listed.get("edge", {}).get("hosts", [])
    if not edges:
        raise RefusedError(
            "The inventory has no host in the group edge, so there is no public path to watch."
        )
    edge = edges[0]
    ca = variables.of(edge, "deploy_public_ca", None)
    return Public(
        name=str(variables.of(edge, "nginx_server_names")[0]),
        address=str(variables.of(edge, "ansible_host", edge)),
        port=int(variables.of(edge, "deploy_public_port", 443)),
        ca=_path(ca) if ca else None,
    )


def _budget(variables: Variables, host: str) -> Budget:
    return Budget(
        workers=int(variables.of(host, "app_workers", 2)),
        pool_size=int(variables.of(host, "app_database_pool_size", 5)),
        max_overflow=int(variables.of(host, "app_database_max_overflow", 5)),
        max_connections=int(variables.of(host, "app_database_max_connections", 100)),
    )


def _policy(variables: Variables, host: str) -> Policy:
    return Policy(
        gate=float(variables.of(host, "deploy_gate_seconds")),
        bake=float(variables.of(host, "deploy_bake_seconds")),
        warm=float(variables.of(host, "deploy_warm_seconds")),
        max_errors=float(variables.of(host, "deploy_max_errors_percent")),
        keep=int(variables.of(host, "deploy_keep_releases")),
    )


def _listed(inventory: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    files = dict(_files(inventory)) | dict(_files(PROJECT / PLAYBOOKS / "group_vars"))
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    kept = PROJECT / "build/inventory" / f"{inventory.name}-{digest.hexdigest()[:16]}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    listed = _ask_ansible(inventory, files)
    kept.parent.mkdir(parents=True, exist_ok=True)
    temporary = kept.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(listed), encoding="utf-8")
    temporary.replace(kept)
    return listed


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Path (from the repository's top) and content of every plain file below folder, links followed."""
    for directory, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(directory, name)
            content = path.read_bytes()
            if path.suffix in (".yml", ".yaml", "") and not content.startswith(VAULT):
                yield str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path), content


def _ask_ansible(inventory: Path, files: dict[str, bytes]) -> dict[str, Any]:
    """What ansible-inventory says of a copy without the encrypted files, which nobody here can read."""
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in files.items():
            copy = Path(scratch, name.lstrip("/"))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        where = str(inventory.relative_to(PROJECT) if inventory.is_relative_to(PROJECT) else inventory)
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-inventory")),
                "--list",
                f"--inventory={Path(scratch, where.lstrip('/'))}",
                f"--playbook-dir={Path(scratch, PLAYBOOKS)}",
            ],
            capture_output=True,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
        )
    if done.returncode != 0:
        raise RefusedError(
            f"The inventory {inventory} cannot be read; nothing was changed.\n{done.stderr.strip()}"
        )
    return dict(json.loads(done.stdout))
