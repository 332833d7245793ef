"""Security updates come by themselves, are held back by no question, and restart nothing that serves."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.templates.conftest import Trees
from tests.templates.rendering import SUITES, HostTree

UPGRADES = "etc/apt/apt.conf.d/52slipway-unattended-upgrades"
RESTARTS = ("etc/needrestart/conf.d/slipway.conf", "etc/needrestart/conf.d/slipway-shop.conf")
EVALUATE = (
    'our %nrconf; for my $f (@ARGV) { do "./$f" // die $@ }; print "$_\\n" for keys %{$nrconf{override_rc}}'
)
every_platform = pytest.mark.parametrize("platform", sorted(SUITES))


def tree_of(trees: Trees, platform: str) -> HostTree:
    return trees[f"lab-{platform}", "shop-1"]


def as_apt_reads_it(tree: HostTree) -> list[str]:
    done = subprocess.run(
        ["apt-config", "dump"],
        env={**os.environ, "APT_CONFIG": str(tree.root / UPGRADES)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


@every_platform
def test_a_question_about_a_file_of_ours_keeps_no_update_back(trees: Trees, platform: str) -> None:
    read = as_apt_reads_it(tree_of(trees, platform))

    options = [line.partition(" ")[2] for line in read if line.lower().startswith("dpkg::options:: ")]
    assert options[-2:] == ['"--force-confdef";', '"--force-confold";']


def test_ubuntu_pros_updates_stay_and_debians_are_debians(trees: Trees) -> None:
    origins = {
        platform: [
            line.partition(" ")[2].strip('";')
            for line in as_apt_reads_it(tree_of(trees, platform))
            if line.startswith("Unattended-Upgrade::Origins-Pattern:: ")
        ]
        for platform in SUITES
    }

    assert origins["Debian-12"] == ["origin=Debian,codename=${distro_codename}-security"]
    assert "origin=UbuntuESMApps,archive=${distro_codename}-apps-security" in origins["Ubuntu-22"]
    assert "origin=UbuntuESM,archive=${distro_codename}-infra-security" in origins["Ubuntu-22"]
    assert not any("updates" in origin or "backports" in origin for origin in origins["Ubuntu-22"])


@every_platform
def test_needrestart_restarts_nothing_that_serves(trees: Trees, platform: str) -> None:
    done = subprocess.run(
        ["perl", "-e", EVALUATE, *RESTARTS],
        cwd=tree_of(trees, platform).root,
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["(?^:^nginx)", "(?^:^postgresql)", "(?^:^shop[@-])"]
