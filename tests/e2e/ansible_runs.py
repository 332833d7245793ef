"""Running Ansible as an operator does, and reading what it said."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import process

ROOT = Path(__file__).resolve().parents[2]
# Whole outputs stay here, for whoever wants more than the tail that a failure prints.
LOGS = ROOT / "build/e2e"
TAIL_LINES = 60
HEADING = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.*)\] \*+$")
RECAP = re.compile(r"^(?P<host>\S+) +: +(?P<counts>(?:[a-z]+=\d+ *)+)$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """One run that has ended: what was typed, the exit status, all it said, how long it took in seconds."""

    typed: str
    status: int
    output: str
    seconds: float
    log: Path

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The recap's counts by host; empty when the run did not come to its end."""
        end = self.output.rpartition("PLAY RECAP")[2]
        return {
            row["host"]: {name: int(count) for name, count in re.findall(r"([a-z]+)=(\d+)", row["counts"])}
            for row in RECAP.finditer(end)
        }

    @property
    def changed(self) -> int:
        """How many tasks changed something, over all hosts."""
        assert self.recap, f"the run did not come to its recap\n{self}"
        return sum(counts["changed"] for counts in self.recap.values())

    def changes(self, host: str) -> list[str]:
        """The tasks and handlers that changed something on a host, or would have, in their order."""
        found, task = [], ""
        for line in self.output.splitlines():
            if heading := HEADING.match(line):
                task = heading[1]
            elif line.startswith(f"changed: [{host}") and task not in found:
                found.append(task)
        return found

    @property
    def said(self) -> str:
        """The output with every white space as one blank: a sentence is found however it was wrapped and quoted."""
        return " ".join(self.output.split()).replace("''", "'")

    def succeeded(self) -> "Run":
        """Return this run; fail with the end of its output when it did not succeed."""
        assert self.status == 0, f"it did not succeed\n{self}"
        return self

    def refused(self) -> "Run":
        """Return this run; fail with the end of its output when it succeeded."""
        assert self.status != 0, f"it succeeded, and should not have\n{self}"
        return self

    def says(self, *sentences: str) -> None:
        """Fail with the end of the output unless each of these sentences is in it."""
        missing = [sentence for sentence in sentences if sentence not in self.said]
        assert not missing, "\n".join(["it does not say", *missing, str(self)])

    def __str__(self) -> str:
        lines = self.output.splitlines()
        return "\n".join(
            [
                f"{self.typed}\nended with status {self.status} after {self.seconds:.1f} s; all of it: {self.log}",
                *lines[-TAIL_LINES:],
            ]
        )


@dataclass
class Playbooks:
    """The playbooks of this checkout on one inventory."""

    inventory: Path
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def run(self, playbook: str, *options: str, **variables: Any) -> Run:
        """Run a playbook to its end, whatever the end is. variables win over the inventory's."""
        started = self.start(playbook, *options, **variables)
        return started.wait()

    def start(self, playbook: str, *options: str, **variables: Any) -> "Started":
        """Start a playbook in a process group of its own."""
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / f"{self.inventory.name}-{os.getpid()}-{next(self.numbers):02}.log"
        words = ["--inventory", str(self.inventory), playbook, *options]
        shown = ["ansible-playbook", *words]
        if variables:
            # In a file, not in the arguments: some are secrets.
            with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
                json.dump(variables, file)
            words += ["--extra-vars", f"@{file.name}"]
            shown += ["--extra-vars", json.dumps(variables, ensure_ascii=False)]
        return Started(" ".join(shown), words, Path(words[-1][1:]) if variables else None, log)


class Started:
    """A run that goes on."""

    def __init__(self, typed: str, words: Sequence[str], variables: Path | None, log: Path) -> None:
        self.typed = typed
        self.variables = variables
        self.log = log
        self.began = time.monotonic()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name("ansible-playbook")), *words],
                cwd=ROOT,
                env={**os.environ, **environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> Run:
        """Wait for its end."""
        status = self.process.wait()
        seconds = time.monotonic() - self.began
        if self.variables:
            self.variables.unlink(missing_ok=True)
        output = self.log.read_text(encoding="utf-8", errors="replace")
        return Run(self.typed, status, output, seconds, self.log)

    def kill(self) -> Run:
        """Kill it with everything it started on the controller, as a crash of the controller would."""
        # Ansible's workers have sessions of their own: they would go on.
        for each in self.processes():
            process.send(each, signal.SIGKILL)
        return self.wait()

    def processes(self) -> list[process.Identity]:
        """Return the run's process and all below it, parents first."""
        found = [each for each in (process.identify(self.process.pid),) if each]
        for each in found:
            found += process.children(each)
        return found


def environment() -> Mapping[str, str]:
    """What Ansible is told about this checkout."""
    return {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "PYTHONPATH": str(ROOT)}
