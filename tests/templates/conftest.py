"""Every inventory rendered once for all tests that ask for it, and what the daemons find beside the rendered files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.once import made_once
from tests.templates.rendering import CASES, HostTree, render
from tests.unit.plugins.ansible_run import load_plugin

RELEASE = "20261122T160501Z-3f2a9c1"
CASES_BY_NAME = {case.name: case for case in CASES}


class Trees(Mapping[tuple[str, str], HostTree]):
    """trees[case, host]: its tree; a case is rendered when it is first asked for, once for all workers."""

    def __init__(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.tmp_path_factory = tmp_path_factory

    def __getitem__(self, key: tuple[str, str]) -> HostTree:
        name, host = key
        return {tree.host: tree for tree in self.of(name)}[host]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((case.name, host) for case in CASES for host in case.hosts)

    def __len__(self) -> int:
        return sum(len(case.hosts) for case in CASES)

    def of(self, name: str) -> list[HostTree]:
        """The trees of a case."""
        case = CASES_BY_NAME[name]
        folder = made_once(self.tmp_path_factory, f"rendered-{name}", lambda made: render(case, made))
        return [HostTree(case, host, folder / host) for host in case.hosts]


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    """Every inventory on every platform."""
    return Trees(tmp_path_factory)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer with /etc/ssl/slipway, issued by the plugin that issues a lab's."""
    plugin = load_plugin("action/private_certificate")
    layer = tmp_path_factory.mktemp("certificates")
    folder = layer / "etc/ssl/slipway"
    folder.mkdir(parents=True)
    authority = plugin.ensure_authority(folder)
    for name in ("host", "public"):
        plugin.ensure_certificate(folder, authority, name=name, names=[name], addresses=[], days=90)
    (folder / "ca.key").unlink()
    return layer


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer with the programs that the units start."""
    layer = tmp_path_factory.mktemp("release")
    programs = ("database-backup", "database-status", "relp-tunnel", "slipway-metrics")
    for path in (
        f"srv/shop/releases/{RELEASE}/start",
        *(f"usr/local/lib/slipway/{name}" for name in programs),
    ):
        (layer / path).parent.mkdir(parents=True, exist_ok=True)
        (layer / path).write_text("#!/bin/sh\n")
        (layer / path).chmod(0o755)
    (layer / "srv/shop/current").symlink_to(f"releases/{RELEASE}")
    return layer
