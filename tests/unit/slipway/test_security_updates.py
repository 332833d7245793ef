"""How many installed packages the security archive has newer versions of, as apt and dpkg themselves say."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from slipway import processes
from slipway.metrics import of_the_host

from tests.unit.apt_archives import Apt, apt_in
from tests.unit.plugins.test_postgresql_harness import run_module  # noqa: F401  (finds Slipway's modules)
from tests.unit.slipway.support import Host

from ansible.module_utils.slipway_verify import updates  # isort: skip


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    """A host's apt, which `slipway metrics` and `verify.yml` ask."""
    apt = apt_in(tmp_path)
    monkeypatch.setattr(of_the_host, "run", partial(processes.run, environment=apt.environment))
    for name, value in apt.environment.items():
        monkeypatch.setenv(name, value)
    return apt


def waiting(host: Host) -> float:
    """What `slipway metrics` counts and `verify.yml` names."""
    (host.runtime / "updates.json").unlink(missing_ok=True)
    counted = {name: value for name, _, value in of_the_host.samples(host)}[
        "slipway_security_updates_waiting"
    ]
    named = [said.split(": ")[1].split(" (")[0].split(", ") for said in updates.security()]
    assert counted == sum(map(len, named)), named
    return counted


def test_a_security_update_waits_that_a_later_one_of_another_archive_hides(host: Host, apt: Apt) -> None:
    apt.installed(wget="1.0")
    apt.has("jammy", wget="1.0")
    apt.has("jammy-security", wget="1.1")
    apt.has("jammy-updates", wget="1.2")

    assert waiting(host) == 1


def test_a_security_update_waits_that_somebody_holds_back(host: Host, apt: Apt) -> None:
    apt.installed("hold", wget="1.0")
    apt.has("jammy-security", wget="1.1")

    assert waiting(host) == 1


def test_none_waits_where_only_something_else_is_newer(host: Host, apt: Apt) -> None:
    apt.installed(wget="1.1", curl="2.0")
    apt.has("jammy-security", wget="1.1", curl="1.9", vim="9")
    apt.has("jammy-updates", wget="1.2", curl="2.1")

    assert waiting(host) == 0


def test_what_was_removed_and_left_its_settings_needs_no_update(host: Host, apt: Apt) -> None:
    apt.installed(wget="1.0")
    status = apt.folder / "dpkg/status"
    status.write_text(status.read_text().replace("install ok installed", "deinstall ok config-files"))
    apt.has("jammy-security", wget="1.1")

    assert waiting(host) == 0


def test_the_installed_version_may_have_a_security_update_that_is_the_newest(host: Host, apt: Apt) -> None:
    apt.installed(wget="1.0", curl="2.0")
    apt.has("jammy-security", wget="1.1", curl="2.1")
    apt.has("jammy-updates", wget="1.1", curl="2.1")

    assert waiting(host) == 2
    assert updates.security() == ["security updates wait: curl, wget (apt-get upgrade, or the next night)"]


def test_nothing_is_told_where_apt_does_not_answer(host: Host, apt: Apt) -> None:
    apt.installed(wget="1.0")
    (apt.folder / "sources.list").write_text("nonsense\n")

    assert "slipway_security_updates_waiting" not in {name for name, _, _ in of_the_host.samples(host)}
