"""What apt says about a package is understood, and a mirror that lacks it is named before anything is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.plugins.ansible_run import play
from tests.unit.plugins.test_postgresql_harness import load_module

apt_candidates = load_module("apt_candidates")

OFFERED = """\
postgresql-14:
  Installed: (none)
  Candidate: 14.9-1
  Version table:
     14.9-1 500
        500 http://archive.example/pgdg jammy-pgdg/main amd64 Packages
     14.2-1ubuntu1 500
        500 http://mirror.example/ubuntu jammy-updates/main amd64 Packages
        500 http://mirror.example/ubuntu jammy/main amd64 Packages
nginx:
  Installed: 1.18.0-6ubuntu14.4
  Candidate: 1.18.0-6ubuntu14.4
  Version table:
 *** 1.18.0-6ubuntu14.4 500
        500 mirror+file:/etc/apt/mirrors/slipway.list jammy-updates/main amd64 Packages
        100 /var/lib/dpkg/status
     1.18.0-6ubuntu14 500
        500 mirror+file:/etc/apt/mirrors/slipway.list jammy/main amd64 Packages
"""
NOT_AVAILABLE = """\
postgresql-14:
  Installed: (none)
  Candidate: (none)
  Version table:
"""
HELD_BACK = """\
postgresql-14:
  Installed: (none)
  Candidate: (none)
  Package pin: 14.7-1
  Version table:
     14.9-1 -1
        500 http://archive.example/pgdg jammy-pgdg/main amd64 Packages
"""
PINNED_BACK = """\
nginx:
  Installed: 1.18.0-6ubuntu14
  Candidate: 1.18.0-6ubuntu14
  Version table:
     1.18.0-6ubuntu14.4 500
        500 http://mirror.example/ubuntu jammy-updates/main amd64 Packages
 *** 1.18.0-6ubuntu14 1001
        100 /var/lib/dpkg/status
"""
ARCHIVES = ["http://mirror.example/ubuntu jammy/main amd64 Packages"]


def complaint(text: str, package: str, glob: str) -> str:
    candidate, offers = apt_candidates.parse_policy(text)[package]
    return str(apt_candidates.complaint(package, glob, candidate, offers, ARCHIVES))


def test_every_package_is_read_with_its_candidate_and_who_offers_which_version() -> None:
    assert apt_candidates.parse_policy(OFFERED) == {
        "postgresql-14": (
            "14.9-1",
            {
                "14.9-1": ["http://archive.example/pgdg jammy-pgdg/main amd64 Packages"],
                "14.2-1ubuntu1": [
                    "http://mirror.example/ubuntu jammy-updates/main amd64 Packages",
                    "http://mirror.example/ubuntu jammy/main amd64 Packages",
                ],
            },
        ),
        "nginx": (
            "1.18.0-6ubuntu14.4",
            {
                "1.18.0-6ubuntu14.4": [
                    "mirror+file:/etc/apt/mirrors/slipway.list jammy-updates/main amd64 Packages"
                ],
                "1.18.0-6ubuntu14": ["mirror+file:/etc/apt/mirrors/slipway.list jammy/main amd64 Packages"],
            },
        ),
    }


def test_an_update_that_not_every_host_gets_yet_is_a_version_of_its_own() -> None:
    """Ubuntu rolls updates out in phases, and says so behind the priority."""
    phased = OFFERED.replace(
        "     14.9-1 500\n",
        "     14.10-0ubuntu0.22.04.1 500 (phased 40%)\n"
        "        500 http://mirror.example/ubuntu jammy-updates/main amd64 Packages\n     14.9-1 500\n",
    )

    offers = apt_candidates.parse_policy(phased)["postgresql-14"][1]

    assert offers["14.10-0ubuntu0.22.04.1"] == [
        "http://mirror.example/ubuntu jammy-updates/main amd64 Packages"
    ]
    assert offers["14.9-1"] == ["http://archive.example/pgdg jammy-pgdg/main amd64 Packages"]


def test_an_origin_counts_for_no_other_package() -> None:
    """A version that cannot be read leaves its archives to nobody."""
    text = NOT_AVAILABLE.replace("postgresql-14:", "nginx:").replace(
        "table:\n",
        "table:\n     odd line\n        500 http://mirror.example/ubuntu jammy/main amd64 Packages\n",
    )

    found = apt_candidates.parse_policy(OFFERED + text)

    assert found["nginx"][1] == {}


def test_nothing_said_is_nothing_offered() -> None:
    assert apt_candidates.parse_policy("") == {}
    assert apt_candidates.parse_policy(NOT_AVAILABLE) == {"postgresql-14": ("(none)", {})}


def test_a_version_held_back_by_a_pin_is_still_the_candidate() -> None:
    assert apt_candidates.parse_policy(PINNED_BACK)["nginx"][0] == "1.18.0-6ubuntu14"


def test_a_stale_mirror_is_named_with_what_it_offers_and_what_was_expected() -> None:
    stale = OFFERED.replace("Candidate: 14.9-1", "Candidate: 14.2-1ubuntu1")

    assert complaint(stale, "postgresql-14", "14.9*") == (
        "postgresql-14 14.9* is expected, but http://mirror.example/ubuntu jammy-updates/main amd64 Packages; "
        "http://mirror.example/ubuntu jammy/main amd64 Packages offers 14.2-1ubuntu1."
    )


def test_an_archive_without_the_package_is_named() -> None:
    assert complaint(NOT_AVAILABLE, "postgresql-14", "14.*") == (
        "postgresql-14 14.* is expected, but no archive of this host offers it. "
        "Asked: http://mirror.example/ubuntu jammy/main amd64 Packages."
    )


def test_a_pin_that_forbids_every_version_is_blamed_not_the_archive() -> None:
    assert complaint(HELD_BACK, "postgresql-14", "14.*") == (
        "postgresql-14 14.* is expected and 14.9-1 is offered, but a pin in /etc/apt/preferences.d keeps apt from "
        "installing it."
    )


@pytest.fixture
def local_archive(tmp_path: Path) -> str:
    """apt's environment with one archive on this machine's disk, which offers slipway-test-package 2.0."""
    if shutil.which("apt-cache") is None:
        pytest.fail("apt-cache is not on this machine: these tests run on Debian or Ubuntu.")
    archive = tmp_path / "archive"
    archive.mkdir()
    fields = {
        "Package": "slipway-test-package",
        "Version": "2.0-1",
        "Architecture": "all",
        "Description": "a test",
    }
    fields |= {
        "Maintainer": "Nobody <nobody@localhost>",
        "Filename": "./none.deb",
        "Size": "1",
        "MD5sum": "0" * 32,
    }
    (archive / "Packages").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()) + "\n")
    sources = tmp_path / "sources.list"
    sources.write_text(f"deb [trusted=yes] file:{archive} ./\n")
    for folder in ("lists/partial", "parts", "cache"):
        (tmp_path / folder).mkdir(parents=True)
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "{tmp_path}/parts";\n'
        f'Dir::State::lists "{tmp_path}/lists";\nDir::Cache "{tmp_path}/cache";\nAPT::Sandbox::User "root";\n'
    )
    return str(configuration)


def test_on_a_host_apt_is_asked_and_the_answer_is_a_sentence(tmp_path: Path, local_archive: str) -> None:
    def ask(name: str, expected: dict[str, str]) -> dict[str, object]:
        return {
            "name": name,
            "apt_candidates": {"expected": expected},
            "when": f"inventory_hostname == '{name}'",
        }

    update = {"name": "update", "ansible.builtin.command": "apt-get update", "run_once": True}
    tasks = [
        update,
        ask("good", {"slipway-test-package": "2.*"}),
        ask("stale", {"slipway-test-package": "3.*"}),
        ask("absent", {"slipway-test-package-that-nobody-has": "1.*"}),
    ]
    for task in tasks:
        # German, because what apt prints is translated and has to be understood all the same.
        task["environment"] = {"APT_CONFIG": local_archive, "LANG": "de_DE.UTF-8", "LANGUAGE": "de"}

    outcome = play(tmp_path, tasks, hosts="good,stale,absent")

    assert not outcome.result("good")["failed"], outcome.printed
    assert outcome.result("good")["candidates"] == {"slipway-test-package": "2.0-1"}, outcome.printed
    assert f"file:{tmp_path}/archive ./ Packages offers 2.0-1." in outcome.sentence("stale")
    assert "Nothing was installed. Choose another mirror (apt_sources_mirrors)" in outcome.sentence("stale")
    assert (
        "no archive of this host offers it. Asked: "
        f"file:{tmp_path}/archive ./ Packages." in outcome.sentence("absent")
    )
