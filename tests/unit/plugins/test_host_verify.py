"""Verify says what is wrong with a host, and does not take what is no fault for one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.ansible_run import load_plugin
from tests.unit.plugins.test_postgresql_harness import run_module

from ansible.module_utils.slipway_verify import database, service, system, updates  # isort: skip
from fabfile.hosts.environment import Public
from tests.unit.fabfile.test_public import Service, edge

__all__ = ["edge"]

verify_complaints = load_plugin("filter/verify_complaints").verify_complaints


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that are found ahead of the host's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_failed_unit_of_somebody_else_is_a_note(programs: Path) -> None:
    listed = "fwupd-refresh.service loaded failed failed x\\nshop@1.service loaded failed failed x\\n"
    program(programs, "systemctl", f"printf '{listed}'")

    own, foreign = system.failed("shop")

    assert own == ["shop@1.service has failed: journalctl -u shop@1.service says why"]
    assert foreign == ["fwupd-refresh.service has failed: journalctl -u fwupd-refresh.service says why"]


@pytest.mark.parametrize(
    ("result", "seconds", "said"),
    [
        ("success", 2, []),
        ("success", 45, ["waited 45 s"]),
        ("exit-code", 120, ["waited 120 s"]),
        (None, 0, []),
    ],
    ids=["at once", "slowly", "in vain", "without networkd"],
)
def test_a_boot_that_waited_for_an_interface_without_network_says_so(
    result: str | None, seconds: int, said: list[str], programs: Path
) -> None:
    times = f"ExecMainStartTimestampMonotonic=7000000\\nExecMainExitTimestampMonotonic={7 + seconds}000000\\n"
    shown = (
        f"Result={result}\\n{times}" if result else "Result=success\\nExecMainStartTimestampMonotonic=0\\n"
    )
    failed = f"{system.ONLINE} loaded failed failed x\\n" if result == "exit-code" else ""
    program(programs, "systemctl", f"case $1 in show) printf '{shown}';; *) printf '{failed}';; esac")

    found = system.network()

    assert len(found) == len(said)
    assert all(words in sentence for words, sentence in zip(said, found, strict=True))
    assert system.failed("shop") == ([], [])


def test_a_unit_that_does_not_run_or_start_at_boot_is_named_with_what_to_type(programs: Path) -> None:
    program(programs, "systemctl", "case $1 in is-active) echo inactive; exit 3;; *) exit 1;; esac")

    assert system.units(["nginx"]) == [
        "nginx is inactive: systemctl start nginx, then journalctl -u nginx",
        "nginx does not start at boot: run site.yml",
    ]


@pytest.mark.parametrize(("taken", "left", "said"), [(90, 10, 0), (91, 9, 1), (0, 0, 0), (100, 0, 1)])
def test_a_disk_is_full_above_ninety_percent(taken: int, left: int, said: int) -> None:
    assert len(system.used("/srv", taken, left, "")) == said


def test_a_file_system_is_looked_at_once_whoever_is_on_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(system, "PATHS", (str(tmp_path), str(tmp_path / ".."), "/not-there"))
    monkeypatch.setattr(system, "FULL", -1)

    where = [sentence.split(" is full")[0] for sentence in system.disks("shop") if "inodes" not in sentence]

    assert where == [system.mount_of(str(tmp_path))]


def test_a_host_that_has_not_patched_itself_for_days_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = tmp_path / "stamp"
    monkeypatch.setattr(updates, "STAMP", str(stamp))
    assert updates.complaints() == []

    stamp.touch()
    now = stamp.stat().st_mtime
    assert updates.complaints(now + 2 * 86400) == []
    assert "last ran 5 days ago" in updates.complaints(now + 5 * 86400)[0]


def test_what_waits_is_said(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "REBOOT", str(tmp_path / "reboot-required"))
    (tmp_path / "reboot-required").touch()
    (tmp_path / "reboot-required.pkgs").write_text("linux-base\nlinux-base\n")
    offered = "Inst nginx [1.18.0-6ubuntu14.3] (1.18.0-6ubuntu14.4 Ubuntu:22.04/jammy-security [amd64])\\n"
    offered += "Inst tzdata [2024a] (2024b Ubuntu:22.04/jammy-updates [all])\\nConf nginx\\n"
    program(programs, "apt-get", f"printf '{offered}'")

    assert updates.reboot() == ["the host waits for a reboot for linux-base"]
    assert updates.security() == ["security updates wait: nginx (apt-get upgrade, or the next night)"]


def test_a_release_that_is_not_ready_is_named_with_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(said: str) -> list[str]:
        (tmp_path / "said").write_text(said)
        monkeypatch.setattr(service, "PROGRAM", str(program(tmp_path, "slipway", f"cat {tmp_path}/said")))
        return service.release("shop")[0]

    socket = {"ready": False, "error": "refused", "body": ""}
    assert answers("") == ["slipway does not answer (): run site.yml"]
    assert answers(json.dumps({"result": {"live": None}})) == ["no release is live: run site.yml"]
    assert answers(json.dumps({"result": {"live": {"release": "R", "socket": socket}}})) == [
        "the release R is not ready (refused): journalctl -u shop@R"
    ]
    assert (
        answers(json.dumps({"result": {"live": {"release": "R", "socket": {**socket, "ready": True}}}})) == []
    )
    ended = {
        "release": "R",
        "name": "worker",
        "unit": {"active": "activating", "sub": "auto-restart"},
    }
    ready = {"live": {"release": "R", "socket": {**socket, "ready": True}}, "processes": [ended]}
    assert answers(json.dumps({"result": ready})) == [
        "the process worker is activating (auto-restart): journalctl -u shop-process@R:worker"
    ]


def test_an_edge_that_nobody_answers_is_named() -> None:
    (said,) = service.edge("shop.test", "/etc/ssl/certs", port=1)

    assert said.startswith("the edge does not answer for shop.test over TLS (")
    assert said.endswith("docs/runbooks/host-does-not-serve.md")


def test_a_database_that_does_not_answer_is_named_and_one_that_does_says_what_is_left(programs: Path) -> None:
    wanted = {"version": "14", "port": 5432, "name": "shop", "unit": "postgresql@14-main"}
    program(programs, "psql", "echo 'no such file' >&2; exit 2")
    assert database.database(wanted) == (
        ["PostgreSQL does not answer (no such file): journalctl -u postgresql@14-main"],
        None,
    )

    program(programs, "psql", "printf 'work_mem waits for a restart\\nconnections=97\\n'")
    assert database.database(wanted) == (["PostgreSQL: work_mem waits for a restart"], 97)


def test_what_hosts_say_is_compared() -> None:
    apps: list[dict[str, Any]] = [
        {"complaints": [], "live": "A", "connections": 60},
        {"complaints": ["x"], "live": "B", "connections": 60},
    ]
    server = {"complaints": [], "connections_left": 97}

    assert verify_complaints(apps[1], [*apps, server]) == [
        "x",
        "the app hosts serve different releases, A and B: fab deploy brings them to one",
    ]
    assert (
        "may open 130 connections, and max_connections leaves it 97"
        in verify_complaints(server, [*apps, server])[0]
    )
    assert verify_complaints({**server, "connections_left": 130}, [*apps, server]) == []


def test_on_a_host_without_anything_of_slipways_everything_that_is_missing_is_named() -> None:
    seen = run_module(
        "host_verify", {"units": ["slipway-nothing"], "app": {"name": "shop", "prefix": "SHOP_"}}, False
    )

    assert not seen["changed"]
    assert any(sentence.startswith("slipway-nothing is ") for sentence in seen["complaints"])
    assert any(sentence.endswith("run site.yml") for sentence in seen["complaints"])
    assert seen["live"] is None


@pytest.mark.parametrize(
    ("status", "complaints"),
    [
        (200, []),
        # A service that says at another path that it is ready.
        (404, []),
        (503, ["the edge answers HTTP/1.1 503 "]),
        (421, ["the edge answers HTTP/1.1 421 "]),
    ],
)
def test_an_edge_answers_for_whatever_service_is_behind_it(
    edge: Public, monkeypatch: pytest.MonkeyPatch, status: int, complaints: list[str]
) -> None:
    def answer(handler: Service) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    monkeypatch.setattr(Service, "do_GET", answer)

    said = service.edge("shop.test", str(edge.ca), edge.port)

    assert [one.startswith(start) for one, start in zip(said, complaints, strict=True)] == [True] * len(
        complaints
    )
