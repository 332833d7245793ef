"""What every process of a task would do anew is done once: filters are imported, and cycles looked for rarely."""

import os
import subprocess
from pathlib import Path

from tests.unit.plugins.ansible_run import ANSIBLE_PLAYBOOK, REPOSITORY

FILTER = """
import gc
import os

IMPORTED_BY = os.getpid()


def seen(_):
    before = "before" if IMPORTED_BY != os.getpid() else "by"
    return f"imported {before} this process, young {gc.get_threshold()[0]}, kept {gc.get_freeze_count() > 10000}"


class FilterModule:
    def filters(self):
        return {"seen": seen}
"""
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: "{{ '' | seen }}"}
"""


def test_the_process_of_a_task_finds_filters_imported_and_looks_for_cycles_rarely(tmp_path: Path) -> None:
    (tmp_path / "filter_plugins").mkdir()
    (tmp_path / "filter_plugins/seen.py").write_text(FILTER)
    (tmp_path / "play.yml").write_text(PLAY)

    done = subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory", "localhost,", tmp_path / "play.yml"],
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "imported before this process, young 100000, kept True" in done.stdout, done.stdout + done.stderr
