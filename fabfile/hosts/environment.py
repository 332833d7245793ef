"""An environment as `fab` needs it: its app hosts, its public address, its policy; all from the inventory."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabfile.errors import RefusedError
from fabfile.hosts import bastion, policies
from fabfile.hosts.app_host import AppHost as AppHost
from fabfile.hosts.inventory import PROJECT, listed
from fabfile.hosts.policies import Budget, Policy
from fabfile.hosts.variables import Variables

NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
# Names the key to sign with, before deploy_signing_key.
VARIABLE = "SLIPWAY_SIGNING_KEY"


@dataclass(frozen=True)
class Public:
    """Where clients come in. address: the edge's, asked directly, whatever DNS says. ca: None is the system's.

    path: what is asked for while traffic moves, one to which every check of the service applies; "" for nothing.
    """

    name: str
    address: str
    port: int
    ca: Path | None
    path: str = ""


@dataclass(frozen=True)
class Signer:
    """key: the public one, as it stands in a .pub file."""

    name: str
    key: str


@dataclass(frozen=True)
class Signing:
    """required: the hosts take signed bundles alone. key: what to sign with, None to look for it among the signers'."""

    required: bool
    key: Path | None = None
    signers: tuple[Signer, ...] = ()


@dataclass(frozen=True)
class Source:
    """place: a folder or a git repository; "" is service/ of this one. ref, folder: of it; "" for its own choice."""

    place: str = ""
    ref: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Environment:
    """kind: lab, staging or production. app: the service's name. prefix: what its settings' names begin with.

    has_database: whether the inventory has a host for one. python: the X.Y of releases, "" for the hosts' own.
    settings: the service's own by name (app_settings), without what only Ansible can read.
    """

    name: str
    kind: str
    app: str
    app_hosts: tuple[AppHost, ...]
    public: Public
    budget: Budget
    policy: Policy
    signing: Signing = Signing(required=False)
    source: Source = Source()
    prefix: str = ""
    has_database: bool = True
    python: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


def load(name: str, inventories: Path = PROJECT / "inventory") -> Environment:
    """The environment of inventory/NAME. Raises RefusedError when there is none, or it has no app host."""
    inventory = _inventory(name, inventories)
    found = listed(inventory)
    names = found.get("app", {}).get("hosts", [])
    if not names:
        raise RefusedError(f"The environment {name} has no host in the group app; nothing can be deployed.")
    variables = Variables(found, inventory)
    return Environment(
        name=name,
        kind=str(variables.of(names[0], "slipway_environment")),
        app=str(variables.of(names[0], "app_name")),
        app_hosts=tuple(_host(variables, host) for host in names),
        public=_public(variables, found),
        budget=policies.budget(variables, names[0]),
        policy=policies.policy(variables, names[0]),
        signing=_signing(variables, names[0]),
        source=Source(
            *(str(variables.of(names[0], f"app_source{part}", "")) for part in ("", "_ref", "_folder"))
        ),
        prefix=str(variables.of(names[0], "app_environment_prefix", "")),
        has_database=bool(found.get("db", {}).get("hosts")),
        python=str(variables.of(names[0], "app_python", "") or "").rpartition("python")[2],
        settings=variables.readable(names[0], "app_settings"),
    )


def host_of(name: str, group: str, inventories: Path = PROJECT / "inventory") -> AppHost:
    """The first host of another group of inventory/NAME, such as db. Raises RefusedError when there is none."""
    inventory = _inventory(name, inventories)
    found = listed(inventory)
    for host in found.get(group, {}).get("hosts", []):
        return _host(Variables(found, inventory), host)
    raise RefusedError(f"The environment {name} has no host in the group {group}. Nothing was changed.")


def variables_of(name: str, inventories: Path = PROJECT / "inventory") -> Variables:
    """All values of inventory/NAME. Raises RefusedError when there is none."""
    inventory = _inventory(name, inventories)
    return Variables(listed(inventory), inventory)


def hosts_of(variables: Variables) -> list[AppHost]:
    """Every host of an inventory."""
    return [_host(variables, name) for name in variables.hostvars]


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
    address, port = str(variables.of(host, "ansible_host", host)), int(variables.of(host, "ansible_port", 22))
    user = str(variables.of(host, "deploy_user", "deploy"))
    words = " ".join(str(variables.of(host, name, "") or "") for name in bastion.VARIABLES)
    return AppHost(
        name=host,
        address=address,
        port=port,
        user=user,
        key_file=_path(key) if key else None,
        known_hosts=_path(known_hosts),
        proxy=bastion.proxy(host, words, {"h": address, "p": str(port), "r": user, "n": host}),
        app=str(variables.of(host, "app_name")),
    )


def _path(text: Any) -> Path:
    return Path(os.path.normpath(Path(str(text)).expanduser()))


def _public(variables: Variables, found: dict[str, Any]) -> Public:
    edges = found.get("edge", {}).get("hosts", [])
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
        path=str(variables.of(edge, "deploy_public_path", "/")),
    )


def _signing(variables: Variables, host: str) -> Signing:
    required = bool(variables.of(host, "release_signatures_required", True))
    key = os.environ.get(VARIABLE) or variables.of(host, "deploy_signing_key", "")
    # Where the key is named, nobody's has to be looked for.
    signers = [] if key or not required else variables.of(host, "release_signers", [])
    listed = tuple(Signer(str(each["name"]), str(each["key"])) for each in signers)
    return Signing(required, _path(key) if key else None, listed)
