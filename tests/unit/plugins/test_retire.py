"""Retiring a host: what is refused before anything changes. What it does is shown by tests/e2e/test_retire.py."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.plugins.ansible_run import ANSIBLE_PLAYBOOK, REPOSITORY

NEEDED = REPOSITORY / "playbooks/tasks/retire/needed.yml"
# Nobody of these has a slipway: none serves.
FLEET = (
    "[app]\napp-1\napp-2\n[db]\ndb-1\n[edge]\nedge-1\n[logs]\nlogs-1\n[all:vars]\nansible_connection=local\n"
)
ALONE = "[app]\nshop-1\n[db]\nshop-1\n[edge]\nshop-1\n[all:vars]\nansible_connection=local\n"


def run(*words: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        [ANSIBLE_PLAYBOOK, *words],
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (
            "",
            "retire_host is not given, which is no host of this inventory: app-1, app-2, db-1, edge-1, logs-1.",
        ),
        ("retire_host=app-7", "retire_host is app-7, which is no host of this inventory"),
        (
            "retire_host=app-1 retire_data=true",
            "Type the name of the host once more: -e retire_confirm=app-1.",
        ),
        ("retire_host=app-1 retire_data=yes retire_confirm=app-2", "-e retire_confirm=app-1."),
    ],
)
def test_no_host_is_guessed_and_no_data_goes_without_its_name(typed: str, sentence: str) -> None:
    # Of hosts that are not there: nobody is asked.
    status, said = run(
        "--inventory", "inventory/fleet", "playbooks/retire.yml", "--extra-vars", typed or "x=1"
    )
    assert status == 2, said
    assert sentence in said
    assert "Nothing was changed." in said
    assert "unreachable=1" not in said


@pytest.mark.parametrize(
    ("inventory", "sentences"),
    [
        (
            FLEET,
            [
                "app-1 is the last app host that serves: without it nobody is answered.",
                "db-1 has the database of app-1, app-2.",
                "edge-1 is the only edge: app-1, app-2 cannot be reached without it.",
                "logs-1 collects the logs of app-1, db-1, whose queues fill up without it.",
            ],
        ),
        (ALONE, ["shop-1 is the last app host that serves"]),
    ],
    ids=["fleet", "alone"],
)
def test_what_others_need_is_taken_away_only_when_that_is_said(
    tmp_path: Path, inventory: str, sentences: list[str]
) -> None:
    hosts, book = tmp_path / "hosts", tmp_path / "book.yml"
    hosts.write_text(f"{inventory}app_name=shop\n")
    # Each host for itself, in one run.
    play = {
        "name": "Ask",
        "hosts": "all",
        "gather_facts": False,
        "vars": {"rsyslog_senders": ["app-1", "db-1"], "slipway_database_hosts": "{{ groups['db'] }}"},
        "tasks": [{"name": "Ask who needs it", "ansible.builtin.include_tasks": str(NEEDED)}],
    }
    book.write_text(yaml.safe_dump([play], sort_keys=False))
    status, said = run("--inventory", hosts, book)
    assert status == 2, said
    for sentence in sentences:
        assert sentence in said
    assert "-e retire_in_use=true. Nothing was changed." in said
    status, said = run("--inventory", hosts, book, "--extra-vars", "retire_in_use=true")
    assert (status, "failed=1" in said, "changed=1" in said) == (0, False, False), said
