"""Whatever a server runs with other than Slipway wrote is named; the same value in other words is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fabfile.database.checks.sections import drift
from fabfile.database.findings import Finding, Level, Report
from tests.database.status_ground import SLIPWAY, Cluster, cluster, found, one_a_version, until, wrong


@contextmanager
def written(cluster: Cluster, name: str, text: str, load: bool = True) -> Iterator[None]:
    """A file of conf.d with another text, loaded or not; what was there before comes back."""
    file = cluster.data / "conf.d" / name
    before = file.read_text() if file.exists() else None
    file.write_text(text)
    try:
        if load:
            reload(cluster)
        yield
    finally:
        file.unlink() if before is None else file.write_text(before)
        reload(cluster)


def reload(cluster: Cluster) -> None:
    """Have the files read, and wait until sessions have them."""
    with cluster.connect() as session:
        before = session.execute("SELECT pg_conf_load_time()").fetchone()
        session.execute("SELECT pg_reload_conf()")
        until(lambda: session.execute("SELECT pg_conf_load_time()").fetchone() != before)


def drifted(report: Report) -> Finding:
    return found(report, "settings-drift")


def rows(report: Report) -> list[tuple[object, ...]]:
    """The table of what differs."""
    every = [table for section in report.sections for table in section.tables]
    return list(next(table for table in every if table.title == "Settings with another value").rows)


def test_the_same_values_in_other_words_are_no_drift(cluster: Cluster) -> None:
    report = cluster.look()
    assert wrong(report) == {}
    count = len(SLIPWAY.strip().splitlines())
    assert drifted(report).sentence == f"Each of the {count} settings that Slipway wrote runs with its value."
    assert rows(report) == []


def test_alter_system_over_a_setting_of_slipway_is_said_with_both_values(cluster: Cluster) -> None:
    cluster.execute("ALTER SYSTEM SET work_mem = '8192kB'")
    reload(cluster)
    report = cluster.look()
    cluster.execute("ALTER SYSTEM RESET work_mem")
    reload(cluster)
    assert wrong(report).keys() == {"settings-drift"}
    assert "work_mem is 8MB, not 4MB (ALTER SYSTEM)" in drifted(report).sentence
    assert drifted(report).command == "ALTER SYSTEM RESET work_mem; SELECT pg_reload_conf();"
    assert rows(report) == [("work_mem", "4MB", "8MB", "ALTER SYSTEM", "no")]


def test_a_later_file_is_named_with_its_line(cluster: Cluster) -> None:
    with written(cluster, "zz-local.conf", "# of a bad night\ntrack_io_timing = off\nlock_timeout = 0\n"):
        report = cluster.look()
    assert wrong(report).keys() == {"settings-drift"}
    assert "track_io_timing is off, not on (" in drifted(report).sentence
    assert "zz-local.conf line 2)" in drifted(report).sentence
    # The session that looks has a lock_timeout of its own, so the files tell what others get.
    assert [row[0] for row in rows(report)] == ["lock_timeout", "track_io_timing"]


def test_a_file_that_was_written_and_not_loaded_is_said(cluster: Cluster) -> None:
    with written(
        cluster, "slipway.conf", SLIPWAY.replace("work_mem = '4MB'", "work_mem = '5MB'"), load=False
    ):
        report = cluster.look()
    assert "work_mem is 4MB, not 5MB" in drifted(report).sentence
    assert drifted(report).command == "ansible-playbook -i inventory/test playbooks/database.yml"


def test_what_waits_for_a_restart_is_said_once(cluster: Cluster) -> None:
    with written(cluster, "slipway.conf", SLIPWAY.replace("'32MB'", "'48MB'")):
        report = cluster.look()
    assert wrong(report).keys() == {"pending-restart"}
    assert [(row[0], row[1], row[2], row[4]) for row in rows(report)] == [
        ("shared_buffers", "48MB", "32MB", "yes")
    ]


def test_a_server_without_the_file_of_slipway_is_no_match(cluster: Cluster) -> None:
    file = cluster.data / "conf.d/slipway.conf"
    file.rename(file.with_suffix(".gone"))
    report = cluster.look()
    file.with_suffix(".gone").rename(file)
    assert wrong(report).keys() >= {"settings-drift"}
    assert "reads no conf.d/slipway.conf" in drifted(report).sentence


def test_who_may_not_read_the_files_knows_nothing_of_drift(cluster: Cluster) -> None:
    assert drifted(cluster.look("outsider")).level is Level.UNKNOWN


@pytest.mark.parametrize(
    ("one", "other", "kind", "unit"),
    [
        ("256MB", "32768", "integer", "8kB"),
        ("1GB", "1024", "integer", "MB"),
        ("10min", "600000", "integer", "ms"),
        ("0.5s", "500", "integer", "ms"),
        ("1h", "60", "integer", "min"),
        ("1.10", "1.1", "real", ""),
        ("0x10", "16", "integer", ""),
        ("0640", "416", "integer", ""),
        ("YES", "on", "bool", ""),
        ("of", "off", "bool", ""),
        ("TLSv1.2", "tlsv1.2", "enum", ""),
    ],
)
def test_one_value_in_two_words(one: str, other: str, kind: str, unit: str) -> None:
    assert drift.compared(one, kind, unit) == drift.compared(other, kind, unit)


@pytest.mark.parametrize(
    ("one", "other", "kind", "unit"),
    [
        ("256MB", "256", "integer", "8kB"),
        ("10min", "10", "integer", "s"),
        ("1.1", "1.2", "real", ""),
        ("on", "off", "bool", ""),
        ("256XB", "256", "integer", "8kB"),
    ],
)
def test_two_values(one: str, other: str, kind: str, unit: str) -> None:
    assert drift.compared(one, kind, unit) != drift.compared(other, kind, unit)


__all__ = ["cluster", "one_a_version"]
