"""Mirrors that fail: apt goes on with the next, and what no archive offers is named before anything is installed."""

from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import Bare
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.platforms import DEBIAN, UBUNTU

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

STATUS = "/var/lib/dpkg/status"
# The version of PostgreSQL that the platform's own archive does not have.
ABSENT = {UBUNTU: 15, DEBIAN: 14}
# An archive of one package, older than what is wanted; nothing is ever fetched from it.
STALE = """\
Package: postgresql-{version}
Version: 13.99-1
Architecture: amd64
Maintainer: Nobody <nobody@example.org>
Filename: ./postgresql-{version}_13.99-1_amd64.deb
Size: 1000
SHA256: {checksum}
Description: what a stale mirror still has

"""


@pytest.fixture(scope="module")
def fresh(spoilt: Host, bare: Bare) -> Host:
    """The host as it was after its first boot, for the tests of this module one after the other."""
    spoilt.restore("bare")
    return spoilt


@pytest.fixture(scope="module")
def mirrors(lab: Lab) -> dict[str, Any]:
    """A mirror that nobody answers for, the lab's package cache behind it, and a version that is not there."""
    url, platform = lab.site.network.url, lab.site.platform
    return {
        "apt_sources_mirrors": [f"http://127.0.0.1:9/{platform.archive}"],
        "apt_sources_fallback": f"{url}/{platform.archive}",
        "apt_sources_security_mirror": f"{url}/{platform.security}",
        "apt_sources_archives": [],
        "postgresql_version": ABSENT[platform],
    }


def test_a_mirror_that_is_down_is_named_and_the_next_one_serves(
    fresh: Host, mirrors: dict[str, Any], playbooks: Playbooks
) -> None:
    run = playbooks.run("playbooks/base.yml", "--tags", "apt_sources", **mirrors).succeeded()
    (down,) = mirrors["apt_sources_mirrors"]
    run.says(
        f"{down} does not serve {fresh.site.platform.suite}",
        f"apt falls back to the next mirror, and at last to {mirrors['apt_sources_fallback']}",
    )
    said = hosts.output(fresh, "cd /tmp && apt-get download tzdata 2>&1 && ls")
    assert "tzdata_" in said, said
    assert "mirror+file:/etc/apt/mirrors/slipway.list" in hosts.output(fresh, "apt-cache policy tzdata")


def test_an_archive_that_is_away_for_a_moment_ends_no_run(
    fresh: Host, mirrors: dict[str, Any], playbooks: Playbooks
) -> None:
    moment = 'APT::Update::Pre-Invoke {"test -e /run/asked-once || { touch /run/asked-once; exit 1; }";};\n'
    hosts.output(fresh, "cat > /etc/apt/apt.conf.d/99moment", stdin=moment)
    try:
        changed = {**mirrors, "apt_sources_lock_timeout": 599}
        playbooks.run("playbooks/base.yml", "--tags", "apt_sources", **changed).succeeded()
    finally:
        hosts.output(fresh, "rm /etc/apt/apt.conf.d/99moment")
    hosts.output(fresh, "rm /run/asked-once")
    assert playbooks.run("playbooks/base.yml", "--tags", "apt_sources", **changed).succeeded().changed == 0


def test_an_archive_without_the_database_is_named_before_anything_is_installed(
    fresh: Host, mirrors: dict[str, Any], playbooks: Playbooks
) -> None:
    before = hosts.files(fresh, STATUS)
    run = playbooks.run("playbooks/database.yml", **mirrors).refused()
    version, suite = mirrors["postgresql_version"], fresh.site.platform.suite
    run.says(
        f"postgresql-{version} {version}.* is expected, but no archive of this host offers it. Asked: ",
        "Nothing was installed.",
    )
    run.says(f"{suite}/main", "add an archive that carries it (apt_sources_archives), then run again")
    assert hosts.files(fresh, STATUS) == before


def test_an_archive_with_another_version_is_named_before_anything_is_installed(
    fresh: Host, mirrors: dict[str, Any], playbooks: Playbooks
) -> None:
    version = mirrors["postgresql_version"]
    stale = STALE.format(version=version, checksum="0" * 64)
    hosts.output(fresh, "mkdir --parents /opt/stale && cat > /opt/stale/Packages", stdin=stale)
    hosts.output(fresh, "echo 'deb [trusted=yes] file:/opt/stale ./' > /etc/apt/sources.list.d/stale.list")
    hosts.output(fresh, "apt-get update --quiet")
    before = hosts.files(fresh, STATUS)
    run = playbooks.run("playbooks/database.yml", **mirrors).refused()
    run.says(
        f"postgresql-{version} {version}.* is expected, but",
        "file:/opt/stale",
        "offers 13.99-1.",
        "Nothing was installed.",
    )
    assert hosts.files(fresh, STATUS) == before


def test_an_archive_of_somebody_else_that_is_down_is_not_told_as_a_fault_of_ours(
    fresh: Host, mirrors: dict[str, Any], playbooks: Playbooks
) -> None:
    vendor = "/etc/apt/sources.list.d/vendor.list"
    hosts.output(fresh, f"echo 'deb [trusted=yes] http://127.0.0.1:9/vendor x main' > {vendor}")
    try:
        changed = {**mirrors, "apt_sources_lock_timeout": 601}
        run = playbooks.run("playbooks/base.yml", "--tags", "apt_sources", **changed).refused()
    finally:
        hosts.output(fresh, f"rm {vendor}")
    run.says("http://127.0.0.1:9/vendor", "where it names one of theirs, somebody else's", vendor)
