"""What monitoring could not be run with is refused before anything changes, and what it would take is said."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.unit.plugins.ansible_run import ANSIBLE_PLAYBOOK, REPOSITORY

# A role says all that it refuses at once.
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nobody is told": (
        {"alertmanager_webhook_url": ""},
        ["nobody would hear of an alert. Set alertmanager_webhook_url"],
    ),
    "no address, and a mail without a server": (
        {"alertmanager_webhook_url": "file:///tmp/x", "alertmanager_mail_to": "ada@shop.example"},
        ["is 'what the vault has', not an address", "not a sender and a server such as"],
    ),
    "more than the disk has": ({"prometheus_retention_gigabytes": 900}, ["it has to be twice as much"]),
    "no bound": (
        {"prometheus_retention_days": 0},
        ["prometheus_retention_days is 0, not a whole number from 1 to 400"],
    ),
    "a node-exporter that nobody states, and a look that takes too long to come": (
        {"exporters_node": False, "exporters_seconds": 3600},
        ["has no node-exporter that would tell what", "is 3600, not a whole number from 15 to 240"],
    ),
}


@pytest.mark.parametrize(("given", "said"), CASES.values(), ids=CASES)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], said: list[str]) -> None:
    done = subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory=inventory/monitored", "--limit=watch-1", "playbooks/render.yml",
         f"--extra-vars={json.dumps({'render_only': [], **given})}"],
        cwd=REPOSITORY, env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    text = " ".join(done.stdout.split())

    assert done.returncode != 0
    assert [each for each in said if each not in text] == [], text[-1500:]
    assert "Nothing was changed." in text
