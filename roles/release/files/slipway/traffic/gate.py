"""Asking a release, on its own socket, whether it may take traffic."""

from __future__ import annotations

import http.client
import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from slipway.host import Host
from slipway.releases import kept
from slipway.releases.declaration import HEALTH
from slipway.systemd import Systemd, UnitState

# Nobody's request: the access log's readers leave it out.
AGENT = "slipway-probe"
PROBE_SECONDS = 5.0
PAUSE_SECONDS = 0.1
# Between answers that are good: a rollback has a second to be done in.
GOOD_PAUSE_SECONDS = 0.02
CONSECUTIVE = 3
# Between two looks at the unit.
LOOK_SECONDS = 0.5
# What no customer gets from a service that knows its own name: 400 and 421 are about the name, 5xx about the service.
REFUSALS = (400, 421)
BODY_BYTES = 4000


@dataclass(frozen=True)
class Probe:
    """One answer of the service: HTTP status, its X-Release header and body, or why there was no answer."""

    status: int | None = None
    release: str | None = None
    body: str = ""
    error: str = ""

    def ready(self, release: str) -> bool:
        """Whether it is the release's own answer, and that it can work."""
        return self.status == 200 and self.release == release

    @property
    def schema(self) -> str | None:
        """The schema's revision that the release found in the database and accepted; None where it does not say."""
        try:
            said = json.loads(self.body)["schema_applied"]
        except (ValueError, KeyError, TypeError):
            return None
        return said if isinstance(said, str) else None

    def describe(self) -> str:
        if self.status is None:
            return f"no answer: {self.error}"
        return (
            f"HTTP {self.status}, X-Release {self.release or 'missing'}, body: {self.body.strip() or 'empty'}"
        )


@dataclass(frozen=True)
class Verdict:
    """passed, or the reason why not; probe is the last answer, unit what systemd said last.

    began: seconds since 1970; older lines of the unit's journal tell of other attempts.
    """

    passed: bool
    reason: str
    probe: Probe
    unit: UnitState
    began: float = 0.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def of(host: Host, release: str, seconds: float = PROBE_SECONDS) -> Probe:
    """What a release says on its own socket, of whether it is ready."""
    return probe(host.release(release) / "http.sock", kept.declaration(host, release).health, seconds)


def of_traffic(host: Host, release: str | None) -> Probe:
    """What whoever has the traffic says of whether it is ready, asked as this release, the live one, is."""
    health = kept.declaration(host, release).health if release else HEALTH
    return probe(host.current / "http.sock", health)


def probe(path: Path, health: str = HEALTH, seconds: float = PROBE_SECONDS) -> Probe:
    """One GET of the path health over the unix socket at path."""
    connection = _UnixConnection(path, seconds)
    try:
        connection.request("GET", health, headers={"User-Agent": AGENT, "Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read(BODY_BYTES).decode("utf-8", "replace")
        return Probe(answer.status, answer.getheader("X-Release"), body)
    except (OSError, http.client.HTTPException) as failure:
        return Probe(error=f"{path}: {failure or type(failure).__name__}")
    finally:
        connection.close()


def complaint(path: Path, public: str, asked: str) -> str:
    """What is wrong with the answer that a customer gets, who asks by the public name; empty when nothing is.

    The path of health may be exempt from what a customer's request has to pass, so it alone proves too little.
    """
    connection = _UnixConnection(path, PROBE_SECONDS)
    name = f"[{public}]" if ":" in public else public
    try:
        connection.request("GET", asked, headers={"Host": name, "User-Agent": AGENT, "Accept": "*/*"})
        answer = connection.getresponse()
        body = answer.read(BODY_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as failure:
        return (
            f"asked for {asked} by the name {public} it gave no answer: {failure or type(failure).__name__}"
        )
    finally:
        connection.close()
    if answer.status < 500 and answer.status not in REFUSALS:
        return ""
    return f"asked for {asked} by the name {public} it answers HTTP {answer.status}: {body.strip()[:500] or 'empty'}"


def wait_until_ready(systemd: Systemd, release: str, path: Path, seconds: float) -> Verdict:
    """Waits until release is ready CONSECUTIVE times in a row, its unit breaks, or seconds have passed."""
    unit_name, health = systemd.host.unit(release), kept.declaration(systemd.host, release).health
    began, deadline = time.time(), time.monotonic() + seconds
    unit, looked = systemd.state(unit_name), time.monotonic()
    restarts = unit.restarts
    passed = 0
    last = Probe(error="not asked yet")
    while True:
        # systemctl takes of the processors what a release needs to start; what answered may have begun anew.
        remaining = deadline - time.monotonic()
        if passed == CONSECUTIVE or remaining <= 0 or time.monotonic() - looked >= LOOK_SECONDS:
            unit, looked = systemd.state(unit_name), time.monotonic()
        if unit.broken or unit.restarts > restarts:
            return Verdict(
                False,
                f"{unit_name} ended (result {unit.result}, status {unit.exit_status})",
                last,
                unit,
                began,
            )
        if passed == CONSECUTIVE:
            return Verdict(True, "", last, unit, began)
        if remaining <= 0:
            return Verdict(
                False,
                f"it was not ready {CONSECUTIVE} times in a row within {seconds:g} s",
                last,
                unit,
                began,
            )
        last = probe(path, health, min(PROBE_SECONDS, remaining))
        passed = passed + 1 if last.ready(release) else 0
        pause = GOOD_PAUSE_SECONDS if passed else PAUSE_SECONDS
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
