"""A service without a database: its inventory names no host for one, and no file of its hosts speaks of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.once import made_once
from tests.templates.rendering import Case, HostTree, render

UNIT = "etc/systemd/system/hello@.service"


@pytest.fixture(scope="session")
def hello(tmp_path_factory: pytest.TempPathFactory) -> HostTree:
    """What inventory/hello, whose group db is empty, makes of its one host."""
    case = Case("hello", "Ubuntu-22")
    folder: Path = made_once(tmp_path_factory, case.name, lambda folder: render(case, folder))
    return HostTree(case, "hello-1", folder / "hello-1")


def test_it_is_told_of_no_database_and_gets_no_password(hello: HostTree) -> None:
    given = [hello.text(path) for path in hello.paths() if path.startswith(("etc/hello/", "etc/systemd/"))]

    assert "HELLO_WORKERS=" in hello.text("etc/hello/hello.env")
    assert not [text for text in given if "DATABASE" in text or "database_password" in text]
    assert "postgresql" not in hello.text(UNIT)


def test_it_has_no_network_and_nobody_needs_to_know_who_calls(hello: HostTree) -> None:
    assert "PrivateNetwork=yes" in hello.text(UNIT)
    assert "PrivateUsers=yes" in hello.text(UNIT)


def test_its_host_gets_no_server_no_backups_and_nobody_may_look_at_one(hello: HostTree) -> None:
    assert not [path for path in hello.paths() if "postgresql/" in path or "backup" in path]
    rules = [
        line for line in hello.text("etc/sudoers.d/slipway-hello").splitlines() if line.startswith("deploy")
    ]
    assert rules == ["deploy ALL=(root) NOPASSWD: /usr/local/lib/slipway/look-at-host hello"]
