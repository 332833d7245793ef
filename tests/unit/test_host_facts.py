"""One look at a host sees what the roles ask about it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.unit.test_postgresql_harness import run_module

from ansible.module_utils.slipway_host import clusters, programs, system, users  # isort: skip

JAMMY = """PRETTY_NAME="Ubuntu 22.04.5 LTS"
NAME="Ubuntu"
VERSION_ID="22.04"
# a comment = with a sign
ID=ubuntu
"""


def program(folder: Path, name: str, said: str, status: int = 0) -> None:
    """A program of that name, ahead of the real one, that says so and ends so."""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit {status}\n")
    path.chmod(0o755)


@pytest.fixture
def programs_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_the_system_is_the_one_os_release_names(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text(JAMMY)

    found = system.os_release(str(tmp_path / "os-release"))

    assert (found["NAME"], found["VERSION_ID"]) == ("Ubuntu", "22.04")
    assert system.os_release(str(tmp_path / "missing")) == {}


def test_this_machine_is_seen() -> None:
    answer = run_module("host_facts", {}, False)

    facts = answer["ansible_facts"]
    assert facts["distribution"] in ("Debian", "Ubuntu")
    assert facts["python"]["version"] == {"major": sys.version_info.major, "minor": sys.version_info.minor}
    assert facts["memtotal_mb"] > 100
    assert facts["processor_vcpus"] >= 1
    assert facts["packages"]["dpkg"].startswith("1.")
    assert facts["users"]["root"]["home"] == "/root"


def test_a_package_that_dpkg_did_not_finish_is_not_installed(programs_of: Path) -> None:
    rows = ["installed\tnginx\t1.18.0", "half-configured\tlinux-image\t5.15", "config-files\told\t1"]
    rows += ["triggers-pending\tman-db\t2.10", "unpacked\tlibc6\t2.35"]
    program(programs_of, "dpkg-query", "\n".join(rows))

    assert programs.packages() == ({"nginx": "1.18.0", "man-db": "2.10"}, ["libc6", "linux-image"])


def test_a_unit_runs_or_is_enabled_as_systemd_says(programs_of: Path) -> None:
    loaded = "Id=nginx.service\nActiveState=active\nUnitFileState=enabled\n\n"
    loaded += "Id=shop@1.service\nActiveState=failed\nUnitFileState=enabled\n"
    script = f"case $1 in show) cat <<'END'\n{loaded}\nEND\n;; *) echo 'ntp.service enabled enabled';; esac"
    (programs_of / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
    (programs_of / "systemctl").chmod(0o755)

    running, enabled = programs.units()

    assert running == ["nginx.service"]
    assert enabled == ["nginx.service", "ntp.service", "shop@1.service"]


def test_users_are_those_of_the_hosts_own_files(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("deploy:x:1000:1000:Deploys:/home/deploy:/bin/bash\n+::::::\n")
    (tmp_path / "shadow").write_text("deploy:*:19000:0:99999:7:::\n")
    (tmp_path / "group").write_text("adm:x:4:ubuntu\nsystemd-journal:x:9:ubuntu,deploy\n")

    assert users.users(str(tmp_path)) == {
        "deploy": {
            "uid": 1000,
            "comment": "Deploys",
            "home": "/home/deploy",
            "shell": "/bin/bash",
            "groups": ["systemd-journal"],
            "no_password": True,
        }
    }


def test_a_cluster_that_does_not_answer_says_nothing(
    programs_of: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = "14 main 5432 online postgres /var/lib/postgresql/14/main /var/log/1\n"
    listing += "15 old 5433 down postgres /var/lib/postgresql/15/old /var/log/2"
    program(tmp_path, "lsclusters", listing)
    monkeypatch.setattr(clusters, "LIST", str(tmp_path / "lsclusters"))
    program(programs_of, "runuser", "", 2)

    found = clusters.clusters()

    assert [(one["name"], one["runs"], one["locale"]) for one in found] == [
        ("14/main", True, None),
        ("15/old", False, None),
    ]

    program(programs_of, "runuser", "crm|de_DE.UTF-8 UTF8\npostgres|C.UTF-8 UTF8\ntemplate1|C.UTF-8 UTF8")
    assert (clusters.clusters()[0]["locale"], clusters.clusters()[0]["databases"]) == (
        "C.UTF-8 UTF8",
        ["crm"],
    )
