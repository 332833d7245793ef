"""A run that a test kills is gone with all it had started, as when the controller crashes."""

from __future__ import annotations

from pathlib import Path

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.lab import process

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.command: {{argv: [sh, -c, "touch {mark}; sleep 20; touch {late}"]}}
"""


def test_a_worker_does_not_outlive_the_run_that_was_killed(tmp_path: Path) -> None:
    mark, late, playbook = tmp_path / "began", tmp_path / "late", tmp_path / "play.yml"
    playbook.write_text(PLAY.format(mark=mark, late=late))
    started = Playbooks(Path("localhost,")).start(
        str(playbook), "--connection=local", ansible_python_interpreter="/usr/bin/python3"
    )
    hosts.until("the task runs", mark.exists, seconds=60)
    below = started.processes()
    assert len(below) > 2
    started.kill()
    hosts.until("all are gone", lambda: not any(map(process.alive, below)), seconds=5)
    assert not late.exists()
