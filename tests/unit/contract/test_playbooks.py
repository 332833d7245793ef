"""Every playbook is understood by Ansible with every inventory."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.unit.ansible_run import ANSIBLE_PLAYBOOK
from tests.unit.contract.repository import ROOT, files

INVENTORIES = sorted({path.parent.name for path in files() if path.match("inventory/*/hosts.yml")})
PLAYBOOKS = sorted(f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml"))


def test_there_is_an_inventory_for_every_environment() -> None:
    assert {"lab", "fleet", "staging", "production"} <= set(INVENTORIES)


@pytest.mark.parametrize("inventory", INVENTORIES)
def test_every_playbook_is_understood(inventory: str) -> None:
    done = subprocess.run(
        [ANSIBLE_PLAYBOOK, "--syntax-check", "--inventory", f"inventory/{inventory}", "site.yml", *PLAYBOOKS],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("playbook: ") == len(PLAYBOOKS) + 1, done.stdout
    assert "WARNING" not in done.stderr, done.stderr
