"""What a hardened host records, read by auditctl itself; and how much of it is kept."""

from __future__ import annotations

import os
import re

import pytest

from tests.templates import audit_ground
from tests.templates.conftest import Trees
from tests.templates.test_pairs import EVERYTHING, SINGLE

RULES, SERVICE = "etc/audit/rules.d/slipway.rules", "etc/audit/rules.d/slipway-shop.rules"
reads = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks auditctl, and gives up what root may")


@reads
@pytest.mark.parametrize("path", [RULES, SERVICE])
def test_auditctl_reads_every_rule(trees: Trees, path: str) -> None:
    rules = trees[EVERYTHING].text(path)
    assert len(re.findall("(?m)^-[wa] ", rules)) >= 2, rules
    assert audit_ground.refusals(rules) == []


@reads
@pytest.mark.parametrize(
    "wrong", ["-w /etc -p wq -k x", "-a always,exit -F arch=b64 -S nonsense -k x", "--nonsense 1"]
)
def test_a_rule_that_auditctl_does_not_know_is_seen(wrong: str) -> None:
    assert audit_ground.refusals(f"# why\n{wrong}\n")


def test_no_rule_stops_a_process_or_the_host_or_counts_every_call(trees: Trees) -> None:
    rules = trees[EVERYTHING].text(RULES) + trees[EVERYTHING].text(SERVICE)
    assert "--backlog_wait_time 0\n" in rules
    assert "-f 1\n" in rules
    for line in rules.splitlines():
        assert not re.search(r"-S (all|execve|open|connect)\b|-f 2|-e 2", line), line


def test_the_record_is_bounded_and_a_full_disk_ends_it_and_not_the_host(trees: Trees) -> None:
    said = dict(
        line.split(" = ", 1)
        for line in trees[EVERYTHING].text("etc/audit/auditd.conf").splitlines()
        if " = " in line
    )
    assert int(said["max_log_file"]) * int(said["num_logs"]) == 128
    assert said["max_log_file_action"] == "ROTATE"
    assert {said[name] for name in said if name.endswith("_action")} <= {"ROTATE", "SYSLOG", "SUSPEND"}


def test_a_host_that_is_not_hardened_records_nothing(trees: Trees) -> None:
    assert not any(path.startswith("etc/audit/") for path in trees[SINGLE].paths())
