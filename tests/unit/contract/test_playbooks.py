"""Every playbook is understood by Ansible with every inventory."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.contract.repository import ROOT, files
from tests.unit.plugins.ansible_run import ANSIBLE_PLAYBOOK

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


@pytest.mark.parametrize(("edges", "most"), [(1, 1), (5, 2)])
def test_no_run_reloads_all_of_several_edges_at_once(tmp_path: Path, edges: int, most: int) -> None:
    (play,) = yaml.safe_load((ROOT / "playbooks/edge.yml").read_text())
    book, hosts = tmp_path / "book.yml", tmp_path / "hosts"
    hosts.write_text("\n".join(["[edge]", *(f"e{n}" for n in range(edges)), "[app]", "a0", "a1", ""]))
    task = {"name": "Say", "ansible.builtin.debug": {"msg": "batch={{ ansible_play_batch | join(',') }}."}}
    kept = {key: play[key] for key in ("name", "hosts", "serial")}
    book.write_text(yaml.safe_dump([{**kept, "gather_facts": False, "tasks": [task]}]))
    done = subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory", hosts, book],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    batches = set(re.findall(r"batch=(.*)\.", done.stdout))
    assert batches, done.stdout
    assert max(sum(host.startswith("e") for host in batch.split(",")) for batch in batches) == most
