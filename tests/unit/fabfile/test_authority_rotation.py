"""A rotation of the private authority: at each step every host's certificate is one that every host trusts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from invoke import Context, Exit

from fabfile.database.asking import ssh
from fabfile.errors import RefusedError
from fabfile.hosts import environment as environments
from fabfile.hosts import state
from fabfile.hosts.app_host import AppHost
from fabfile.hosts.state import HostState
from fabfile.tasks.rotating import rotate
from fabfile.upkeep import authority_rotation
from tests.unit.fabfile.fake_fleet import R1, R2
from tests.unit.fabfile.test_rollouts import World, world
from tests.unit.plugins.ansible_run import load_plugin

__all__ = ["world"]

private_certificate = load_plugin("action/private_certificate")
THERE = "/etc/ssl/slipway"
AUTHORITY = f"{THERE}/ca.pem"


class Hosts:
    """Folders that stand for hosts, and what app hosts say of their releases."""

    def __init__(self, world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.controller, self.folder = world, folder / "pki", folder
        self.controller.mkdir()
        self.names = [*world.hosts, "db-1"]
        self.newer: list[str] = []
        self.running = [R2]
        self.source = "private"
        said = {"certificates_directory": str(self.controller), "certificates_folder": THERE}
        variables = SimpleNamespace(
            of=lambda _, name, *__: {**said, "certificates_source": self.source}[name]
        )
        found = [AppHost(name, "192.0.2.1", 22, "deploy", None, folder / "known") for name in self.names]
        monkeypatch.setattr(environments, "variables_of", lambda _: variables)
        monkeypatch.setattr(environments, "hosts_of", lambda _: found)
        monkeypatch.setattr(ssh, "command", self._command)
        monkeypatch.setattr(state, "read", self._read)
        self.converge()

    def _command(self, host: AppHost, remote: str) -> list[str]:
        return ["sh", "-c", remote.replace(THERE, str(self.folder / host.name))]

    def _read(self, _: Any) -> dict[str, HostState]:
        status = {"live": {"release": R2, "settings_newer": self.newer}, "running": self.running}
        return {name: HostState(name, status, {}) for name in self.world.hosts}

    def converge(self, *names: str) -> None:
        """site.yml, on some hosts or on all."""
        signing = private_certificate.ensure_authority(self.controller)
        for name in names or self.names:
            private_certificate.ensure_certificate(
                self.controller, signing, name=name, names=[name], addresses=[], days=90
            )
            (self.folder / name).mkdir(exist_ok=True)
            shutil.copy(self.controller / "ca.pem", self.folder / name / "ca.pem")
            shutil.copy(self.controller / f"{name}.pem", self.folder / name / "host.pem")

    def all_trust_all(self) -> None:
        """Every host verifies the certificate of every other, by openssl."""
        for one in self.names:
            for other in self.names:
                words = ["openssl", "verify", "-x509_strict", "-CAfile", f"{one}/ca.pem", f"{other}/host.pem"]
                done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{one} refuses {other}: {done.stderr}"

    def go_on(self, planned: bool = False) -> str:
        return authority_rotation.go_on(self.world.environment, planned)

    def kept(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.controller.glob("[!.]*")}

    def refusal(self) -> str:
        """Why it does not go on; and nothing was changed."""
        before = self.kept()
        with pytest.raises(RefusedError, match="Nothing was changed") as refused:
            self.go_on()
        assert self.kept() == before
        return str(refused.value)

    def issuers(self) -> set[bytes]:
        """The authorities that hosts' certificates are of, by the keys' names."""
        found = set()
        for name in self.names:
            shown = x509.load_pem_x509_certificate((self.folder / name / "host.pem").read_bytes())
            of = shown.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
            found.add(of.key_identifier or b"")
        return found


@pytest.fixture
def hosts(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    return Hosts(world, tmp_path, monkeypatch)


def converged_one_by_one(hosts: Hosts) -> None:
    for name in hosts.names:
        hosts.converge(name)
        hosts.all_trust_all()


def test_at_each_step_and_on_the_way_to_it_every_host_trusts_every_other(hosts: Hosts) -> None:
    first = hosts.issuers()

    assert "another authority is made and trusted, and does not sign yet" in hosts.go_on()
    assert "app-1: it does not trust both authorities yet" in hosts.refusal()
    converged_one_by_one(hosts)
    assert hosts.issuers() == first

    assert "the new authority signs" in hosts.go_on()
    assert "db-1: its certificate is of the authority before" in hosts.refusal()
    converged_one_by_one(hosts)
    assert len(hosts.issuers()) == 1
    assert hosts.issuers() != first

    assert "the authority before it is trusted no more" in hosts.go_on()
    converged_one_by_one(hosts)
    assert hosts.kept()["ca.pem"].count(b"BEGIN CERTIFICATE") == 1
    assert {"ca.key", "ca.pem"} == {name for name in hosts.kept() if name.startswith("ca")}
    # And the next one begins anew.
    assert "another authority is made" in hosts.go_on()


def test_one_host_that_has_not_heard_of_it_is_enough_to_wait(hosts: Hosts) -> None:
    hosts.go_on()
    hosts.converge("app-1", "app-2", "app-3")
    said = hosts.refusal()
    assert "db-1: it does not trust both" in said
    assert "app-1" not in said
    assert "ansible-playbook -i inventory/" in said


def test_a_release_that_was_started_before_it_trusted_both_is_in_the_way(hosts: Hosts) -> None:
    hosts.go_on()
    hosts.converge()
    hosts.newer = ["/etc/shop/shop.env", AUTHORITY]
    assert f"app-2: {R2} was started before {AUTHORITY} changed." in hosts.refusal()
    hosts.newer = ["/etc/shop/shop.env"]
    hosts.running = [R1, R2]
    assert f"{R1} still runs, and may have started before" in hosts.refusal()
    hosts.running = [R2]
    assert "the new authority signs" in hosts.go_on()


def test_a_plan_changes_nothing(hosts: Hosts) -> None:
    before = hosts.kept()
    assert hosts.go_on(planned=True).startswith("The next step: another authority is made")
    assert hosts.kept() == before


def test_who_was_killed_between_a_key_and_its_certificate_begins_anew(hosts: Hosts) -> None:
    private_certificate.announce(hosts.controller)
    only_the_first = private_certificate.trusted(hosts.controller)[:1]
    private_certificate._trust(hosts.controller, only_the_first)

    assert "another authority is made" in hosts.go_on()
    hosts.converge()
    assert "the new authority signs" in hosts.go_on()


def test_a_host_that_is_away_stops_it(hosts: Hosts) -> None:
    hosts.go_on()
    hosts.converge()
    shutil.rmtree(hosts.folder / "db-1")
    assert "db-1 does not say whom it trusts" in hosts.refusal()


def test_a_key_of_another_day_is_said_to_belong_to_no_authority(hosts: Hosts) -> None:
    hosts.go_on()
    hosts.converge()
    hosts.go_on()
    (hosts.controller / "ca.key").write_bytes((hosts.controller / "db-1.key").read_bytes())
    assert "ca.key belongs to none of the authorities in" in hosts.refusal()


def test_certificates_that_somebody_gives_are_rotated_by_who_gives_them(hosts: Hosts) -> None:
    hosts.source = "files"
    assert "docs/runbooks/rotate-credentials.md" in hosts.refusal()


@pytest.mark.parametrize(
    ("other", "said"), [("tokens", "--tokens and --authority are two"), ("end", "leave --end out")]
)
def test_two_rotations_at_once_are_refused(other: str, said: str) -> None:
    words: dict[str, Any] = {"authority": True, other: True}
    with pytest.raises(Exit, match=said):
        rotate.body(Context(), **words)
