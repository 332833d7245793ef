"""The monitoring host, asked over SSH: its Prometheus and its Alertmanager answer on its loopback alone."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from typing import Any

from fabfile.database.asking import ssh
from fabfile.errors import FabError, RefusedError
from fabfile.hosts import environment
from fabfile.hosts.answers import UnreachableError
from fabfile.hosts.environment import AppHost

SECONDS = 20
MARK = "slipway-asked "
# On standard input: a list of [name, address, body or null]; each is asked, and a failure of one is only its own.
PROGRAM = """
import json, sys, urllib.request
told = {}
for name, address, body in json.load(sys.stdin):
    try:
        given = None if body is None else json.dumps(body).encode()
        wish = urllib.request.Request(address, given, {"Content-Type": "application/json"})
        wish.method = "DELETE" if body == "DELETE" else wish.get_method()
        with urllib.request.urlopen(wish, timeout=5) as answer:
            text = answer.read(1 << 24).decode("utf-8", "replace")
        told[name] = {"said": json.loads(text) if text.strip() else None}
    except Exception as failure:
        told[name] = {"problem": f"{type(failure).__name__}: {failure}"}
print("slipway-asked " + json.dumps(told))
"""


@dataclass(frozen=True)
class Watcher:
    """The host that watches, and the ports of its two programs."""

    host: AppHost
    prometheus: int = 9090
    alertmanager: int = 9093

    def ask(self, questions: list[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
        """{name: {said} or {problem}}. questions: (name, address, body or None). Raises UnreachableError."""
        command = ssh.command(self.host, shlex.join(["python3", "-I", "-c", PROGRAM]))
        try:
            done = subprocess.run(
                command,
                input=json.dumps(questions),
                capture_output=True,
                text=True,
                timeout=SECONDS + ssh.CONNECT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._lost(f"it did not answer in {SECONDS + ssh.CONNECT_SECONDS} s") from None
        _, found, text = done.stdout.rpartition(MARK)
        if not found:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise self._lost(said[-1] if said else f"ssh ended with status {done.returncode}")
        return dict(json.loads(text))

    def _lost(self, reason: str) -> UnreachableError:
        return UnreachableError(
            f"{self.host.name} ({self.host.address}), which watches, cannot be asked: {reason}. What fires is not "
            "known. Type: fab status, fab db-status"
        )

    @property
    def judged(self) -> str:
        return f"http://127.0.0.1:{self.prometheus}/api/v1/alerts"

    @property
    def silences(self) -> str:
        return f"http://127.0.0.1:{self.alertmanager}/api/v2/silences"


class NobodyWatchesError(RefusedError):
    """The inventory has no host that watches."""


def of(name: str) -> Watcher:
    """Who watches an environment. Raises NobodyWatchesError."""
    try:
        host = environment.host_of(name, "monitoring")
    except FabError:
        raise NobodyWatchesError(
            f"The environment {name} has no host in the group monitoring, so nothing is watched. Put one there, "
            f"and run ansible-playbook -i inventory/{name} site.yml. Nothing was asked."
        ) from None
    variables = environment.variables_of(name)
    ports = (
        int(variables.of(host.name, f"{role}_port", port))
        for role, port in (("prometheus", 9090), ("alertmanager", 9093))
    )
    return Watcher(host, *ports)
