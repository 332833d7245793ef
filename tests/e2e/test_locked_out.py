"""Whatever a change would lock out (sshd, sudo, the firewall): the host is as before within a minute, and says so."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1200)]

HARDENED = {"slipway_hardened": True}
WOULD_HAVE = "no second login by a new connection came in, so it would have locked you out"
BACK = "The host gave back what stood before, and a new login works again."
SECONDS = 60
Spoil = Callable[[Path], dict[str, Any]]


def overlaid(path: str, text: str) -> Spoil:
    """The repository's templates with another first or last part of one of them."""

    def spoil(folder: Path) -> dict[str, Any]:
        shutil.copytree(ROOT / "templates", folder / "templates")
        template = folder / "templates" / path
        header, _, body = template.read_text().partition("\n")
        template.write_text(f"{header}\n{body}\n{text}\n")
        return {"slipway_templates_root": str(folder / "templates")}

    return spoil


def given(**variables: Any) -> Spoil:
    return lambda folder: variables


SUDOERS, SSHD = "etc/sudoers.d/slipway.j2", "etc/ssh/sshd_config.d/10-slipway.conf.j2"
FIREWALL = "etc/slipway/{{ app_name }}/firewall.nft.j2"
SPOILT: dict[str, tuple[str, Spoil]] = {
    "another port": ("ssh", given(ssh_ports=[2222], firewall_left_closed=[22])),
    "a kind of key that the controller does not have": (
        "ssh",
        given(ssh_settings={"PubkeyAcceptedAlgorithms": "rsa-sha2-512"}),
    ),
    "an address that the host does not have": ("ssh", given(ssh_settings={"ListenAddress": "192.0.2.7"})),
    "sshd for IPv6 alone": ("ssh", given(ssh_settings={"AddressFamily": "inet6"})),
    "another user alone": ("ssh", given(ssh_settings={"AllowUsers": "deploy"})),
    "other keys": ("ssh", given(ssh_settings={"AuthorizedKeysFile": "/etc/ssh/nobodys"})),
    "SSH from elsewhere": ("firewall", given(firewall_ssh_from=["192.0.2.0/24"])),
    "SSH from IPv6 alone": ("firewall", given(firewall_ssh_from=["2001:db8::/32"])),
    "sudo without its user": ("base", overlaid(SUDOERS, "ubuntu ALL=(ALL:ALL) !ALL")),
    "a key file for all users": (
        "base",
        overlaid(SSHD, "Match User ubuntu\nAuthorizedKeysFile none\nMatch all"),
    ),
}


@pytest.fixture(scope="module")
def hardened(spoilt: Host, playbooks: Playbooks) -> Host:
    """The host with hardening, which a second run leaves as it is."""
    playbooks.run("site.yml", **HARDENED).succeeded()
    again = playbooks.run("site.yml", **HARDENED).succeeded()
    assert again.changed == 0, again
    return spoilt


def seconds_in_force(host: Host) -> float:
    """How long the change stood that the host took back last, by the host's own clock."""
    folder = "/var/lib/slipway/guard"
    armed = json.loads(hosts.output(host, f"cat {folder}/taken-back.json"))["at"]
    taken_back = float(hosts.output(host, f"stat --format=%.Y {folder}/taken-back.json"))
    return taken_back - datetime.fromisoformat(armed).timestamp()


def new_login(host: Host) -> bool:
    """Whether somebody comes in anew, by a connection of their own: the shared one is the run's too."""
    access = host.site.access
    words = [*access.client(), f"-p{access.login.port}", f"{access.login.user}@{host.address}"]
    return subprocess.run([*words, "true"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def locked_out(host: Host) -> None:
    """Wait until a change is in force that keeps everybody out; it is armed a moment before."""
    armed = "test -e /var/lib/slipway/guard/armed.json"
    # By the connection that is there.
    hosts.until("a change is armed", lambda: host.run(armed).returncode == 0, seconds=90)
    hosts.until("it keeps new logins out", lambda: not new_login(host), seconds=15)


def test_a_hardened_host_lets_in_what_the_inventory_says_and_nothing_else(hardened: Host) -> None:
    table = hosts.output(hardened, "nft list table inet slipway_host")
    assert "policy drop" in table
    for port in (22, 80, 443):
        assert f"tcp dport {port} accept" in table
    said = hosts.output(hardened, "sshd -T -C user=ubuntu,host=localhost,addr=127.0.0.1").splitlines()
    assert {"passwordauthentication no", "maxauthtries 4"} <= set(said)
    assert [line for line in said if line.startswith("hostkey ")] == ["hostkey /etc/ssh/ssh_host_ed25519_key"]
    assert hosts.output(hardened, "sysctl --values net.ipv4.conf.all.accept_redirects") == "0"


@pytest.mark.parametrize("case", SPOILT)
def test_nobody_is_locked_out(hardened: Host, playbooks: Playbooks, case: str, tmp_path: Path) -> None:
    tag, spoil = SPOILT[case]
    before = hosts.files(hardened, "/etc", "/var/lib/slipway/files")
    run = playbooks.run("playbooks/base.yml", "--tags", tag, **HARDENED, **spoil(tmp_path)).refused()
    run.says(WOULD_HAVE, BACK)
    seconds = seconds_in_force(hardened)
    print(f"{case}: {seconds:.1f} s in force, a run of {run.seconds:.0f} s")
    assert seconds < SECONDS
    assert new_login(hardened)
    assert hosts.differences(before, hosts.files(hardened, "/etc", "/var/lib/slipway/files")) == ""


def test_a_controller_that_dies_leaves_the_old_state_within_a_minute_and_the_next_run_says_so(
    hardened: Host, playbooks: Playbooks
) -> None:
    before = hosts.files(hardened, "/etc", "/var/lib/slipway/files")
    spoilt = {**HARDENED, "firewall_ssh_from": ["192.0.2.0/24"]}
    started = playbooks.start("playbooks/base.yml", "--tags", "firewall", **spoilt)
    locked_out(hardened)
    began = time.monotonic()
    started.kill()
    hosts.until("a new login works", lambda: new_login(hardened), seconds=SECONDS)
    assert time.monotonic() - began < SECONDS
    assert hosts.differences(before, hosts.files(hardened, "/etc", "/var/lib/slipway/files")) == ""
    playbooks.run("playbooks/verify.yml").refused().says(
        "The change of the set firewall (of shop,", "was taken back"
    )
    again = playbooks.run("playbooks/base.yml", **HARDENED).succeeded()
    again.says("was taken back at")
    assert again.changed == 0, again


def test_a_boot_while_a_change_is_armed_gives_back_what_was_proven(
    hardened: Host, playbooks: Playbooks
) -> None:
    before = hosts.files(hardened, "/etc", "/var/lib/slipway/files")
    spoilt = {**HARDENED, "ssh_settings": {"AllowUsers": "deploy"}}
    started = playbooks.start("playbooks/base.yml", "--tags", "ssh", **spoilt)
    locked_out(hardened)
    started.kill()
    hardened.kill()
    hardened.up()
    assert new_login(hardened)
    assert hosts.differences(before, hosts.files(hardened, "/etc", "/var/lib/slipway/files")) == ""
    assert "policy drop" in hosts.output(hardened, "nft list table inet slipway_host")
