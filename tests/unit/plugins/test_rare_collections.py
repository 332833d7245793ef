"""A run of Ansible looks for cycles of objects rarely: each of its processes would look through all of it anew."""

import os
import subprocess
from pathlib import Path

from tests.unit.plugins.ansible_run import ANSIBLE_PLAYBOOK, REPOSITORY

THRESHOLD = """
import gc


class FilterModule:
    def filters(self):
        return {"collections": lambda _: f"young {gc.get_threshold()[0]}, kept {gc.get_freeze_count() > 10000}"}
"""
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: "{{ '' | collections }}"}
"""


def test_the_process_of_a_task_looks_for_cycles_rarely_and_not_among_what_there_was(tmp_path: Path) -> None:
    (tmp_path / "filter_plugins").mkdir()
    (tmp_path / "filter_plugins/collections.py").write_text(THRESHOLD)
    (tmp_path / "play.yml").write_text(PLAY)

    done = subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory", "localhost,", tmp_path / "play.yml"],
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "young 100000, kept True" in done.stdout, done.stdout + done.stderr
