"""A play of one task or more, run by the real ansible-playbook with this repository's plugins."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


def load_plugin(name: str) -> ModuleType:
    """Import plugins/<name>.py, as action/host_files, by its path."""
    spec = importlib.util.spec_from_file_location(Path(name).name, REPOSITORY / f"plugins/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Outcome:
    """The exit status, what was printed, and (task name, host, result) of all that was not skipped."""

    status: int
    printed: str
    rows: list[tuple[str, str, dict[str, Any]]]

    def result(self, task: str) -> dict[str, Any]:
        """What a task that one host ran gave back."""
        found = [result for name, _, result in self.rows if name == task]
        assert len(found) == 1, self.printed
        return found[0]

    def ok(self, task: str) -> dict[str, Any]:
        assert self.status == 0, self.printed
        return self.result(task)

    def sentence(self, task: str) -> str:
        """The message of a task that has to fail."""
        assert self.result(task).get("failed"), self.printed
        return str(self.result(task)["msg"])


def play(
    folder: Path, tasks: list[dict[str, Any]], *options: str, hosts: str = "localhost", **variables: Any
) -> Outcome:
    """Run the tasks on this machine, once for each name in `hosts` (a,b), and collect what they gave back."""
    variables = {"app_name": "shop", **variables}
    content = [{"name": "Test", "hosts": "all", "gather_facts": False, "vars": variables, "tasks": tasks}]
    playbook, record = folder / "play.yml", folder / "record.jsonl"
    playbook.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    record.write_text("")
    done = subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory", f"{hosts},", "--connection", "local", *options, playbook],
        cwd=folder,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).with_name("callback_plugins")),
            "ANSIBLE_CALLBACKS_ENABLED": "record",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "SLIPWAY_TEST_RECORD": str(record),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    return Outcome(
        done.returncode,
        done.stdout + done.stderr,
        [(row["task"], row["host"], row["result"]) for row in rows],
    )
