"""Every inventory rendered once for all tests, and what the daemons find beside the rendered files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.once import made_once
from tests.templates.rendering import CASES, HostTree, render
from tests.unit.plugins.ansible_run import load_plugin

RELEASE = "20261122T160501Z-3f2a9c1"

Trees = dict[tuple[str, str], HostTree]


def render_all(folder: Path) -> None:
    """Render every case into a folder of its name."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda case: render(case, folder / case.name), CASES))


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    """{(case, host): its tree} of every inventory on every platform."""
    folder = made_once(tmp_path_factory, "rendered", render_all)
    return {
        (case.name, host): HostTree(case, host, folder / case.name / host)
        for case in CASES
        for host in case.hosts
    }


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
    programs = ("database-backup", "database-status", "slipway-metrics")
    for path in (
        f"srv/shop/releases/{RELEASE}/start",
        *(f"usr/local/lib/slipway/{name}" for name in programs),
    ):
        (layer / path).parent.mkdir(parents=True, exist_ok=True)
        (layer / path).write_text("#!/bin/sh\n")
        (layer / path).chmod(0o755)
    (layer / "srv/shop/current").symlink_to(f"releases/{RELEASE}")
    return layer
