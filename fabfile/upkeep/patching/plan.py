"""What a patch would do, where, and how long it takes: said before anything is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fabfile.errors import RefusedError
from fabfile.hosts import environment as environments
from fabfile.hosts.environment import Environment
from fabfile.upkeep.patching import asking, waiting
from fabfile.upkeep.patching.waiting import Waiting

# By what was measured: a host's part without packages, a package, a drained host until it is quiet, a reboot.
PART_SECONDS, PACKAGE_SECONDS, DRAIN_SECONDS, REBOOT_SECONDS = 15, 2, 30, 45
WINDOW_SECONDS = 20


@dataclass(frozen=True)
class Plan:
    """hosts: every host of the environment, in the order of patching."""

    environment: str
    hosts: tuple[Waiting, ...]

    def at_any_time(self) -> list[Waiting]:
        return [host for host in self.hosts if host.begins]

    def in_a_window(self) -> list[Waiting]:
        return [host for host in self.hosts if host.windows]

    def text(self) -> str:
        """A line for how much, one a host, what comes in a window, what is left to a person."""
        name, now, window = self.environment, self.at_any_time(), self.in_a_window()
        left = [f"  {host.name}: {said}" for host in self.hosts for said in host.left]
        lines = [
            f"{name}: {len(now)} of {len(self.hosts)} hosts, one after the other, about "
            f"{minutes(sum(map(seconds, now)))}. No request is lost. fab patch --env {name}"
            if now
            else f"{name}: nothing waits that could be installed at any time."
        ]
        lines += [f"  {host.name}: {_said(host)}" for host in now]
        if window:
            took = sum(WINDOW_SECONDS + (REBOOT_SECONDS if host.reboot else 0) for host in window)
            lines.append(
                f"In a window, where customers are refused for up to {minutes(took)}: fab patch --window --env {name}"
            )
            lines += [f"  {host.name}: {said}" for host in window for said in host.windows]
        return "\n".join(lines + (["Left alone:", *left] if left else []))

    def as_object(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "version": 1,
            "environment": self.environment,
            "hosts": [
                {
                    "host": host.name,
                    "updates": [vars(each) for each in host.updates],
                    "window": [vars(each) for each in host.apart],
                    "held": list(host.held),
                    "reboot": list(host.reboot),
                    "stale": {kind: list(units) for kind, units in host.stale.items()},
                    "unfinished": list(host.unfinished),
                    "seconds": seconds(host) if host.begins else 0,
                }
                for host in self.hosts
            ],
        }


def seconds(host: Waiting) -> int:
    """About how long a host's part takes, without what waits for a window."""
    took = PART_SECONDS + PACKAGE_SECONDS * len(host.updates)
    took += DRAIN_SECONDS if host.place.drains else 0
    return took + (REBOOT_SECONDS if host.reboot and not host.interrupted else 0)


def minutes(took: float) -> str:
    return f"{took:.0f} s" if took < 90 else f"{took / 60:.0f} min"


def _said(host: Waiting) -> str:
    said = [f"dpkg goes on with {', '.join(host.unfinished)}"] if host.unfinished else []
    said += [waiting.listed(host.updates)] if host.updates else []
    said += [f"{host.size / 1e6:.1f} MB to fetch"] if host.size else []
    stale = [*host.stale.get("at-once", ()), *(() if host.is_edge else host.stale.get("nginx", ()))]
    said += [f"{', '.join(stale)} start anew"] if stale else []
    said += ["the release starts anew"] if host.stale.get("release") and host.place.drains else []
    if host.reboot and not host.interrupted:
        said.append(f"a reboot for {', '.join(host.reboot)}")
    return f"{'drained; ' if host.place.drains else ''}{'; '.join(said)}"


def places(environment: Environment) -> list[waiting.Place]:
    """The hosts of an environment, in the order of patching."""
    variables = environments.variables_of(environment.name)
    return waiting.places({**variables.groups, "all": list(variables.hostvars)})


def make(environment: Environment, among: Sequence[waiting.Place]) -> Plan:
    """Look at these hosts. Raises RefusedError that names each which does not answer, or cannot say what waits."""
    asking.require_vault(environment.name)
    answers = asking.ask(environment.name, "look", [place.name for place in among])
    missing = [place.name for place in among if place.name not in answers]
    said = [f"{name} cannot be reached as root." for name in missing]
    said += [f"{name}: {answer['failed']}" for name, answer in answers.items() if answer["failed"]]
    if said:
        told = "\n".join(said)
        raise RefusedError(
            f"{told}\nNothing was installed. To reach a host as Ansible does: "
            f"ansible -i inventory/{environment.name} HOST -b -m ping"
        )
    return Plan(environment.name, tuple(waiting.of(place, answers[place.name]) for place in among))


def require_well(hosts: Sequence[Waiting], name: str) -> None:
    """The gate before: raise RefusedError for what is wrong already, which an update would be blamed for."""
    wrong: Mapping[str, Sequence[str]] = {host.name: host.complaints for host in hosts if host.complaints}
    if wrong:
        told = "\n".join(f"  {host}: {said}" for host, each in wrong.items() for said in each)
        raise RefusedError(
            f"Something is wrong already:\n{told}\nNothing was installed. All of it: "
            f"ansible-playbook -i inventory/{name} playbooks/verify.yml. To leave a host out: --without HOST"
        )
