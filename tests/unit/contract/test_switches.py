"""What is yes or no is never a word: `-e NAME=false` is true to some conditions, and ends a run halfway for others."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.contract.repository import ROOT, below, named
from tests.unit.plugins.ansible_run import ANSIBLE_PLAYBOOK

WORDS = r"\w+_(?:restart_allowed|takeover)"
READ = re.compile(rf"(?<![\w=]){WORDS}(?![\w:=])(?!\s*(?:\|\s*default\(false\)\s*)?\|\s*bool)")


def played(folder: Path, tasks: list[dict[str, Any]], *arguments: str, **said: Any) -> str:
    """What Ansible says of the tasks."""
    book = folder / "book.yml"
    play = {"name": "Ask", "hosts": "localhost", "connection": "local", "gather_facts": False}
    book.write_text(yaml.safe_dump([{**play, "vars": said, "tasks": tasks}]))
    done = subprocess.run(
        [ANSIBLE_PLAYBOOK, "--inventory", "localhost,", *arguments, book],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    return " ".join((done.stdout + done.stderr).split())


CHECK = [{"name": "Check", "ansible.builtin.import_tasks": str(ROOT / "playbooks/tasks/variables.yml")}]


@pytest.mark.parametrize("word", ["true", "false", "no"])
def test_a_word_is_refused_before_anything_changes_and_what_to_type_is_said(
    tmp_path: Path, word: str
) -> None:
    words = ("--extra-vars", f"postgresql_audit={word}")
    said = played(tmp_path, CHECK, *words, stated_roles=["postgresql"])
    assert f"localhost: postgresql_audit is the word {word}, and has to be true or false" in said, said
    assert "Nothing was changed." in said


@pytest.mark.parametrize(
    "given",
    ["postgresql_restart_allowed=true", json.dumps({"postgresql_audit": False}), "postgresql_port=5433"],
)
def test_what_is_yes_or_no_is_taken_and_so_are_words_that_a_run_may_be_given(
    tmp_path: Path, given: str
) -> None:
    said = played(tmp_path, CHECK, "--extra-vars", given, stated_roles=["postgresql"])
    assert "failed=0" in said, said
    assert "is the word" not in said


def test_whoever_reads_what_a_run_may_be_given_takes_a_word_for_what_it_says() -> None:
    found = []
    folders = ("playbooks", "roles", "templates")
    for path in below(*folders, suffix=".yml") + below(*folders, suffix=".j2"):
        if path.name == "argument_specs.yml":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            expression = line if re.match(r"\s*(?:when:|- |\{)|.*\{\{", line) else ""
            found += [f"{named(path)}:{number}: {line.strip()}"] if READ.search(expression) else []
    assert found == []


@pytest.mark.parametrize(
    ("sentences", "well"),
    [
        ({}, True),
        ({"certificates": ["ends in 3 days"], "updates": ["last ran 5 days ago"]}, True),
        ({"units": ["nginx.service failed"]}, False),
        ({"units": ["known before"]}, True),
    ],
)
def test_the_gate_after_a_patch_leaves_out_what_its_plan_left_out(
    tmp_path: Path, sentences: dict[str, list[str]], well: bool
) -> None:
    tasks = yaml.safe_load((ROOT / "playbooks/tasks/patch/part.yml").read_text())
    condition = tasks[-1]["until"]
    task = {"name": "Judge", "ansible.builtin.assert": {"that": condition}}
    known = {"patch_known": ["known before"], "patch_no_reason": ["certificates", "updates"]}
    said = played(tmp_path, [task], **known, patch_verified={"complaints": sentences})
    assert ("failed=0" in said) == well, said
