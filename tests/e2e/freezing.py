"""A host's slipway stopped at one record of its journal, for a test that then lets something happen to it."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from typing import IO

from tests.e2e.hosts import ON_HOST
from tests.lab.host import Host

JOURNAL = "/var/lib/slipway/shop/journal.jsonl"
PATIENCE = 180
OF_NO_RELEASE = ("lease.", "prune")


@dataclass(frozen=True)
class Moment:
    """A record of the journal: step, and phase (begin, end, note)."""

    step: str
    phase: str

    def __str__(self) -> str:
        return f"{self.step} {self.phase}"


@dataclass(frozen=True)
class Frozen:
    """helpers: slipway's processes that were stopped; none when it had ended already. callers: the sudo of each,
    sessions: the sshd of each."""

    host: Host
    helpers: list[int]
    callers: list[int]
    sessions: list[int]

    def send(self, signal: str, pids: list[int]) -> None:
        """Send processes of the host a signal; those that are gone are gone."""
        if pids:
            self.host.run(f"kill -{signal} {' '.join(map(str, pids))}")

    def thaw(self) -> None:
        """Let slipway go on; sudo stops itself when what it runs is stopped."""
        self.send("CONT", [*self.helpers, *self.callers])


class Watch:
    """Waits on a host for a record; made before what writes it is started."""

    def __init__(self, host: Host, moment: Moment, release: str) -> None:
        self.host, self.moment = host, moment
        # Its own connection: the shared one ends with the sessions that are cut.
        given = {
            "journal": JOURNAL,
            "step": moment.step,
            "phase": moment.phase,
            "release": "" if moment.step.startswith(OF_NO_RELEASE) else release,
            "seconds": PATIENCE,
        }
        script = (ON_HOST / "freeze.py").read_text()
        command = f"python3 -c {shlex.quote(script)} {shlex.quote(json.dumps(given))}"
        self._process = subprocess.Popen(
            host.site.access.root_command(host.address, command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._output.readline() == "watching\n"

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout
        return self._process.stdout

    def frozen(self) -> Frozen:
        """Wait for the record; fail when it does not come."""
        said = self._output.read()
        self._process.wait()
        found = json.loads(said or "null")
        assert found, f"{self.moment} was not journaled on {self.host.name} within {PATIENCE} s"
        return Frozen(self.host, found["helpers"], found["callers"], found["sessions"])
