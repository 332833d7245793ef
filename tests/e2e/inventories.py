"""An inventory of the same hosts, with the same secrets, that says more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT
from tests.lab.lab import Lab


@dataclass(frozen=True)
class Own:
    """A copy of an inventory, by another name. base: the name of that inventory, whose secrets it has."""

    folder: Path
    base: str

    def says(self, said: Mapping[str, Any]) -> None:
        """Have it say this to all its hosts, in place of what it said here before."""
        state = f"{{{{ inventory_dir }}}}/../../.lab/generated/{self.base}"
        text = yaml.safe_dump({"slipway_local_state": state, **said})
        (self.folder / "group_vars/all/zz_test.yml").write_text(text)


@contextmanager
def own(base: Path, name: str, said: Mapping[str, Any]) -> Iterator[Own]:
    """A copy of an inventory that says more, gone with the block."""
    made = Own(ROOT / "inventory" / name, base.name)
    shutil.copytree(base, made.folder, dirs_exist_ok=True)
    try:
        made.says(said)
        yield made
    finally:
        shutil.rmtree(made.folder)


@contextmanager
def booted(inventory: Own) -> Iterator[Lab]:
    """Its hosts from bare, gone with the block."""
    lab = Lab(inventory.folder)
    lab.down()
    lab.up()
    try:
        for host in lab.hosts.values():
            hosts.made(host)
        yield lab
    finally:
        lab.down()
