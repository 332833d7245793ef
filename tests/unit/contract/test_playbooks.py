"""Every playbook is understood by Ansible with every inventory."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.contract.repository import ROOT, below, files, load, named
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
    (play,) = [each for each in yaml.safe_load((ROOT / "playbooks/edge.yml").read_text()) if "serial" in each]
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


def test_no_task_that_is_skipped_takes_away_what_another_registered() -> None:
    """Ansible registers a task that it skips, too, with nothing in it."""
    found = []
    for path in below("playbooks", "roles", suffix=".yml"):
        registered: set[str] = set()
        for name, skippable in registers(load(path)):
            found += [f"{named(path)}: {name}"] if skippable and name in registered else []
            registered.add(name)
    assert found == []


def registers(listed: Any, skippable: bool = False) -> Iterator[tuple[str, bool]]:
    """What the tasks of a file register, in their order, and whether a condition (theirs, or a block's) may skip it."""
    for task in listed if isinstance(listed, list) else ():
        conditional = skippable or "when" in task
        if "register" in task:
            yield task["register"], conditional
        for part in ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from registers(task.get(part), conditional)


@pytest.mark.parametrize("word", ["true", "false"])
def test_hardening_is_what_the_command_line_says_which_knows_words_alone(tmp_path: Path, word: str) -> None:
    variables = ROOT / "playbooks/group_vars/all.yml"
    switches = re.findall(r"(?m)^(\w+): .*\bslipway_hardened\b", variables.read_text())
    assert len(switches) >= 6
    book = tmp_path / "book.yml"
    tasks = [
        {"name": name, "ansible.builtin.debug": {"msg": f"{name} is on."}, "when": name} for name in switches
    ]
    facts = {"distribution": "Ubuntu"}
    play = {
        "name": "Ask", "hosts": "localhost", "gather_facts": False, "vars_files": [str(variables)],
        "vars": {"ansible_facts": facts}, "tasks": tasks,
    }  # fmt: skip
    book.write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory", "localhost,", "--extra-vars", f"slipway_hardened={word}", book],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(" is on.") == (len(switches) if word == "true" else 0), done.stdout
