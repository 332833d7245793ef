"""The program of the database's host: what `fab db-status` says, as metrics, by Python 3.10 with nothing installed."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fabfile.database import cli
from fabfile.database.findings import Finding, Level, Report, Section, Server
from fabfile.database.screen import metrics
from fabfile.programs.zipped import build_helper
from tests.database.status_ground import Cluster, cluster, one_a_version, running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program as the role puts it on a host."""
    path = tmp_path_factory.mktemp("program") / "database-status"
    path.write_bytes(build_helper(ROOT / "fabfile/database"))
    return path


def settings(server: Cluster, folder: Path, **more: Any) -> Path:
    given = {
        "environment": "test", "app": "shop", "host": "db-1", "address": "192.0.2.1", "app_hosts": ["app-1", "app-2"],
        "budget": {"workers": 1, "pool_size": 1, "max_overflow": 0, "max_connections": 24}, "database": "shop",
        "port": 5432, "version": str(server.version), "cluster": "main", "replicas": 0, "backups_expected": False,
        "physical_expected": False,
        "thresholds": {}, "accepted": [], "certificates": "/etc/ssl/slipway", "sockets": str(server.directory),
        "counters": str(folder / "counters"), **more,
    }  # fmt: skip
    path = folder / "settings.json"
    path.write_text(json.dumps(given))
    return path


def run(program: Path, settings: Path, to: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["python3.10", "-I", program, "--app=shop", f"--settings={settings}", f"--to={to}"],
        capture_output=True, text=True, env={**os.environ, "PYENV_VERSION": "3.10.13"}, check=False,
    )  # fmt: skip


def levels(text: str) -> dict[str, int]:
    """The level of each check in a file of metrics."""
    lines = [line for line in text.splitlines() if line.startswith("slipway_database_check_level{")]
    return {line.split('check="')[1].split('"')[0]: int(line.rpartition(" ")[2]) for line in lines}


def test_every_check_of_db_status_is_a_metric_of_the_same_level(
    program: Path, cluster: Cluster, tmp_path: Path
) -> None:
    to = tmp_path / "database.prom"
    done = run(program, settings(cluster, tmp_path), to)
    assert (done.returncode, done.stderr) == (0, "")
    said = levels(to.read_text())
    report = cluster.look()
    asked = {"sessions", "tables", "workload"}
    expected = {
        finding.check: finding.level.value
        for section in report.sections
        for finding in sorted(section.findings, key=lambda one: one.level.rank)
        if section.name in asked
    }
    assert len(expected) > 15
    assert {check: said.get(check) for check in expected} == expected
    assert f"{to.stat().st_mode:o}" == "100644"
    assert [path.name for path in tmp_path.glob("*.prom*")] == ["database.prom"]


def test_an_inventorys_threshold_holds_and_the_sentence_comes_with_what_to_type(
    program: Path, cluster: Cluster, tmp_path: Path
) -> None:
    to = tmp_path / "database.prom"
    run(program, settings(cluster, tmp_path, thresholds={"connections": [0, 1]}), to)
    text = to.read_text()
    assert levels(text)["connections"] == Level.CRITICAL.value
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith("slipway_database_finding{") and 'check="connections"' in line
    ]
    assert 'sentence="' in line
    assert "critical from 1 %" in line
    assert "--env test" in line
    assert 'runbook="db-connections.md"' in line


def test_what_is_accepted_raises_no_level(program: Path, cluster: Cluster, tmp_path: Path) -> None:
    accepted = [
        {
            "check": "connections",
            "level": "critical",
            "reason": "a test of what is accepted",
            "until": "2999-01-01",
        }
    ]
    to = tmp_path / "database.prom"
    run(program, settings(cluster, tmp_path, thresholds={"connections": [0, 1]}, accepted=accepted), to)
    assert levels(to.read_text())["connections"] == Level.OK.value


def test_a_server_that_is_down_is_critical_and_its_sections_are_not_known(
    program: Path, version: int, tmp_path: Path
) -> None:
    to = tmp_path / "database.prom"
    with running(version) as server:
        given = settings(server, tmp_path)
        server.stop("fast")
        done = run(program, given, to)
        server.start()
    assert (done.returncode, done.stderr) == (0, "")
    said = levels(to.read_text())
    assert said["server"] == Level.CRITICAL.value
    assert said["tables-section-unread"] == Level.UNKNOWN.value


def test_settings_that_cannot_be_meant_leave_the_file_as_it_was(
    program: Path, cluster: Cluster, tmp_path: Path
) -> None:
    to = tmp_path / "database.prom"
    to.write_text("before")
    done = run(program, settings(cluster, tmp_path, thresholds={"conections": [1, 2]}), to)
    assert done.returncode == 1
    assert done.stderr.startswith("The database was not looked at: db_status_thresholds names 'conections'")
    assert to.read_text() == "before"


def test_what_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        cli.written(tmp_path / "database.prom", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_hostile_name_stays_within_its_label() -> None:
    hostile = Finding("tables", Level.WARN, 'A table "x\\" 1\nevil{a="b"} 1 is odd.', "fab db-status")
    report = Report(
        "test", "shop", Server("db-1", "primary"), datetime.now(UTC), 0.1, (Section("tables", (hostile,)),)
    )
    lines = metrics.encoded(report, "shop").splitlines()
    assert all(line.startswith(("# ", "slipway_database_")) for line in lines)
    assert 'A table \\"x\\\\\\" 1 evil{a=\\"b\\"} 1 is odd.' in "\n".join(lines)


__all__ = ["cluster", "one_a_version"]
