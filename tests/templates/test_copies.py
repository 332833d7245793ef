"""A host that copies the repository of physical backups: what either end gets, and what is refused before that."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest

from tests.templates.rendering import Case, render


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copied")
    render(Case("copied", "Ubuntu-22"), folder)
    return folder


def test_the_copying_host_has_a_key_of_its_own_and_none_of_the_repository(tree: Path) -> None:
    own = configparser.ConfigParser(interpolation=None)
    own.read(tree / "vault-1/etc/slipway/shop/repository-copy.conf")
    said = own["copy"]
    words = shlex.split(said["shell"])
    assert said["there"] == "10.83.7.91"
    assert words[words.index("-l") + 1] == "shop_copy"
    assert "StrictHostKeyChecking=yes" in words
    assert not [path for path in (tree / "vault-1").rglob("*") if "pgbackrest" in path.name]
    assert (
        "ReadWritePaths=/var/lib/slipway-copies/shop"
        in (tree / "vault-1/etc/systemd/system/slipway-copy-shop.service").read_text().splitlines()
    )


def test_the_database_s_host_lets_that_user_read_and_do_nothing_else(tree: Path) -> None:
    sshd = (tree / "kept-1/etc/ssh/sshd_config.d/11-slipway-shop.conf").read_text()
    assert "    ForceCommand /usr/local/lib/slipway/repository-copy --app=shop serve\n" in sshd
    assert "    DisableForwarding yes\n" in sshd
    daemon = (tree / "kept-1/etc/slipway/shop/repository-rsyncd.conf").read_text()
    before, _, modules = daemon.partition("[repository]")
    repository, _, incoming = modules.partition("[incoming]")
    assert "read only = yes" in before
    assert "read only = no" not in repository
    assert "write only = yes" in incoming
    assert not (tree / "vault-1/etc/ssh/sshd_config.d/11-slipway-shop.conf").exists()


def test_the_copy_comes_in_by_the_port_of_sshd_wherever_else_ssh_is_let_in_from(tmp_path: Path) -> None:
    said = {"slipway_hardened": True, "firewall_ssh_from": ["192.0.2.0/24"], "ssh_ports": [2222]}
    render(Case("copied", "Ubuntu-22"), tmp_path, **said)
    words = shlex.split((tmp_path / "vault-1/etc/slipway/shop/repository-copy.conf").read_text())
    assert words[words.index("-p") + 1] == "2222"
    copier = "ip saddr 10.83.7.92 tcp dport 2222 accept"
    assert copier in (tmp_path / "kept-1/etc/slipway/shop/firewall.nft").read_text().splitlines()
    assert copier not in (tmp_path / "vault-1/etc/slipway/shop/firewall.nft").read_text()


def test_what_copies_could_not_be_made_with_is_refused(tmp_path: Path) -> None:
    said = {
        "render_only": [],
        "backups_physical": False,
        "copies_keep_days": 0,
        "copies_every": "soon",
        "ssh_host_keys": ["rsa"],
    }
    with pytest.raises(AssertionError, match="does not render") as refused:
        render(Case("copied", "Ubuntu-22"), tmp_path, **said)
    why = " ".join(str(refused.value).split())
    for each in (
        "has no physical backups that it could copy",
        "copies_keep_days",
        "copies_every",
        "by its ed25519 key",
    ):
        assert each in why
