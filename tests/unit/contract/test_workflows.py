"""What GitHub runs, read and tried with stubs: README's two commands, and the life of a host on the runner itself."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.contract.repository import ROOT
from tests.unit.contract.test_typed_commands import CHECKS, words

WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]


def scripts(job: str) -> list[str]:
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


def typed(job: str) -> list[str]:
    """The commands of a job, one a line."""
    return [line.strip() for script in scripts(job) for line in script.splitlines()]


def shell(job: str) -> list[str]:
    """How GitHub starts the shell of a job: without a word in the workflow, a pipe's first end counts for nothing."""
    named = JOBS[job].get("defaults", WORKFLOW.get("defaults", {})).get("run", {}).get("shell")
    return ["bash", "--noprofile", "--norc", "-eo", "pipefail"] if named == "bash" else ["bash", "-e"]


def test_a_job_types_the_two_commands_of_the_readme() -> None:
    shown = re.findall(r"^\$ (make \w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert [line.partition("make ")[1:] for line in typed("test")] == [
        command.partition("make ")[1:] for command in shown[:2]
    ]


def test_a_job_takes_the_runner_through_the_life_of_a_host() -> None:
    life = [shlex.split(line.partition("|")[0]) for line in typed("ubuntu")]
    steps = [line[:2] if line[0] == "fab" else line[-1:] for line in life if line[0] in CHECKS]
    site, verify = ["site.yml"], ["playbooks/verify.yml"]
    assert steps == [
        [".venv/installed"], site, site, verify, ["fab", "deploy"], ["fab", "rollback"], ["fab", "status"]
    ]  # fmt: skip
    assert (ROOT / JOBS["ubuntu"]["env"]["INVENTORY"] / "hosts.yml").is_file()


@pytest.mark.parametrize("job", JOBS)
def test_every_command_of_a_job_exists_and_it_runs_on_the_target(job: str) -> None:
    assert JOBS[job]["runs-on"] == "ubuntu-22.04"
    for line in typed(job):
        command = words(re.sub(r"^sudo (--\S+ )*", "", line).partition("|")[0])
        assert not command or command[0] not in CHECKS or not CHECKS[command[0]](command), line


@pytest.mark.parametrize(
    ("answer", "status"),
    [("echo changed=0", 0), ("echo changed=2", 1), ("echo changed=0; false", 1)],
    ids=["nothing changed", "something changed", "it failed"],
)
def test_a_second_run_that_fails_or_changes_something_ends_the_job(
    answer: str, status: int, tmp_path: Path
) -> None:
    (script,) = (script for script in scripts("ubuntu") if script.count(" site.yml") == 2)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    # The first run changes a host, whatever the second one does.
    (program := tmp_path / "ansible-playbook").write_text(
        f"#!/bin/bash\n[ -e first ] || {{ touch first; echo changed=9; exit 0; }}\n"
        f"case $* in *verify*) exit 0;; esac\n{answer}\n"
    )
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin", "INVENTORY": "inventory/runner"}

    done = subprocess.run([*shell("ubuntu"), "-c", script], cwd=tmp_path, env=environment, check=False)

    assert bool(done.returncode) == bool(status)
