"""What a fault is: what is done to which host, what must hold, how it is put right; or why it is not made here."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks, Run
from tests.e2e.ground import Ground
from tests.lab.host import Host


@dataclass
class Scene:
    """The hosts on which a fault is made. variables: those of each run. at_home: whether a host's own file has its
    numbered lines. took: what the fault itself measured. started: what goes on until the fault is put right.
    """

    ground: Ground
    playbooks: Playbooks
    variables: Mapping[str, Any] = field(default_factory=dict)
    at_home: bool = False
    took: dict[str, float] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def host(self, group: str) -> Host:
        """The first host of a group."""
        return self.ground.lab.host(self.ground.lab.groups[group][0])

    def filed(self, host: Host) -> tuple[Host, str]:
        """Where a host's lines are to be found: on which host, in which file."""
        logs = self.host("logs")
        if self.at_home or logs == host:
            return host, "/var/log/syslog"
        return logs, f"/var/log/remote/{host.name}/system.log"

    def converge(self) -> Run:
        """site.yml, which has to succeed."""
        return self.playbooks.run("site.yml", **self.variables).succeeded()

    def end(self) -> None:
        """End what goes on."""
        while self.started:
            process = self.started.pop()
            process.terminate()
            process.wait()


Do = Callable[[Scene], object]


def on(group: str, command: str) -> Do:
    """A command of root's on the first host of a group."""
    return lambda scene: hosts.output(scene.host(group), command)


@dataclass(frozen=True)
class Fault:
    """One that is made. name: number and a word, as in `F1:postmaster`.

    promise: measures.py has the names; each is the most that there may be. healed: None where it has to heal by
    itself. lasts: seconds from the fault until it is put right. ground: lab, or fleet.
    at_home: whether the numbered lines have to be in their host's own file, and not in the collector's.
    """

    name: str
    fault: str
    made: Do
    promise: Mapping[str, float]
    healed: Do | None = None
    lasts: float = 10
    ground: str = "lab"
    at_home: bool = False


@dataclass(frozen=True)
class Shown:
    """One that tests make which have another subject. tests: how their ids begin."""

    name: str
    fault: str
    promise: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """One that is not made on these hosts."""

    name: str
    fault: str
    reason: str


Row = Fault | Shown | Left
