"""`fab alerts` and `fab silence`: what a monitoring host says, worst first, and what it takes to keep it quiet."""

from __future__ import annotations

import http.server
import json
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fabfile.database.asking import ssh
from fabfile.errors import FailedError, RefusedError
from fabfile.hosts.answers import UnreachableError
from fabfile.hosts.app_host import AppHost
from fabfile.upkeep import alerts
from fabfile.upkeep.watcher import NobodyWatchesError, Watcher, of

HOST = AppHost("watch-1", "192.0.2.9", 22, "deploy", None, Path("/dev/null"))
SINCE = "2026-11-26T03:00:00.123456789Z"
NOW = 1795662060.0
ID = "01234567-89ab-cdef-0123-456789abcdef"


def firing(name: str, severity: str, state: str = "firing", **labels: str) -> dict[str, Any]:
    said = {"sentence": f"{name} is so.", "command": "fab status", "runbook": "alerts-hosts.md"}
    return {
        "labels": {"alertname": name, "severity": severity, **labels},
        "annotations": said, "state": state, "activeAt": SINCE,
    }  # fmt: skip


def silenced(name: str, **more: Any) -> dict[str, Any]:
    matchers = [{"name": "alertname", "value": name, "isRegex": False, "isEqual": True}]
    return {
        "id": ID, "matchers": matchers, "endsAt": "2026-11-26T05:00:00Z", "createdBy": "ada",
        "comment": "the disk is being enlarged", "status": {"state": "active"}, **more,
    }  # fmt: skip


class Host(http.server.BaseHTTPRequestHandler):
    """Prometheus and Alertmanager in one, as the class says."""

    alerts: ClassVar[list[dict[str, Any]]] = []
    silences: ClassVar[list[dict[str, Any]]] = []
    broken: ClassVar[str] = ""
    asked: ClassVar[list[tuple[str, str, Any]]] = []

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        Host.asked.append((self.command, self.path, json.loads(body) if body.startswith(b"{") else None))
        said: Any = Host.silences
        if self.command == "POST":
            said = {"silenceID": ID}
        elif "alerts" in self.path:
            said = {"data": {"alerts": Host.alerts}}
        self.send_response(500 if Host.broken and Host.broken in self.path else 200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watcher]:
    """The host, on loopback; what would go over SSH is run here."""
    Host.alerts, Host.silences, Host.broken, Host.asked = [firing("Watchdog", "none")], [], "", []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(ssh, "command", lambda _host, command: shlex.split(command))
    yield Watcher(HOST, server.server_port, server.server_port)
    server.shutdown()
    server.server_close()


def shown(watcher: Watcher) -> str:
    return "\n".join(alerts.lines(alerts.read(watcher), NOW))


def test_nothing_fires_and_the_heartbeat_is_no_alert(watcher: Watcher) -> None:
    assert shown(watcher) == "watch-1 watches: nothing fires."
    assert alerts.read(watcher).exit_code == 0


def test_what_fires_is_shown_worst_first_with_what_to_type_and_to_read(watcher: Watcher) -> None:
    Host.alerts += [
        firing("MemoryLow", "warning", host="db-1"),
        firing("HostDown", "critical", host="app-1"),
        firing("DiskFull", "critical", "pending"),
    ]
    lines = shown(watcher).splitlines()

    assert lines[0] == "watch-1 watches: 1 critical, 1 warning."
    assert lines[2:6] == [
        "CRITICAL  HostDown is so.",
        "          HostDown, for 1 min",
        "          type  fab status",
        "          read  docs/runbooks/alerts-hosts.md",
    ]
    assert lines[7] == "WARN      MemoryLow is so."
    assert "DiskFull" not in shown(watcher)
    assert alerts.read(watcher).exit_code == 2


def test_a_silence_is_shown_with_its_reason_and_its_end_and_wakes_nobody(watcher: Watcher) -> None:
    Host.alerts.append(firing("HostDown", "critical", host="app-1"))
    Host.silences = [silenced("HostDown"), silenced("DiskFull", status={"state": "expired"})]
    told = alerts.read(watcher)

    assert told.exit_code == 0
    assert "SILENCED  HostDown is so." in shown(watcher)
    assert f"until 2026-11-26 05:00 UTC by ada: the disk is being enlarged (fab silence --end {ID})" in shown(
        watcher
    )


def test_a_silence_of_one_host_is_none_of_another(watcher: Watcher) -> None:
    Host.alerts += [firing("HostDown", "critical", host=name) for name in ("app-1", "app-2")]
    Host.silences = [silenced("HostDown")]
    Host.silences[0]["matchers"].append({"name": "host", "value": "app-1", "isRegex": False, "isEqual": True})

    assert [(one.labels["host"], bool(one.silenced)) for one in alerts.read(watcher).alerts] == [
        ("app-2", False),
        ("app-1", True),
    ]


def test_an_alertmanager_that_is_away_is_said_and_not_known_is_not_right(watcher: Watcher) -> None:
    Host.broken = "silences"

    assert "Alertmanager on watch-1 does not answer, and tells nobody" in shown(watcher)
    assert alerts.read(watcher).exit_code == 3


def test_a_prometheus_that_judges_nothing_is_not_right(watcher: Watcher) -> None:
    Host.alerts = []

    assert "judges no alert" in shown(watcher)
    assert alerts.read(watcher).exit_code == 3


def test_a_prometheus_that_is_away(watcher: Watcher) -> None:
    Host.broken = "alerts"

    assert "Prometheus on watch-1 does not answer" in shown(watcher)
    assert alerts.read(watcher).exit_code == 3


def test_a_hostile_sentence_does_not_act_on_a_terminal(watcher: Watcher) -> None:
    Host.alerts.append(firing("HostDown", "critical", host="a\x1b]0;title\x07b"))
    Host.alerts[-1]["annotations"]["sentence"] = "so\x1b[2Jmuch"

    assert "\x1b" not in shown(watcher) + alerts.encoded(alerts.read(watcher))


def test_json_has_the_code_and_every_alert(watcher: Watcher) -> None:
    Host.alerts.append(firing("HostDown", "critical", host="app-1"))
    said = json.loads(alerts.encoded(alerts.read(watcher)))

    assert (said["version"], said["exit_code"], said["alerts"][0]["name"]) == (1, 2, "HostDown")
    assert said["alerts"][0]["since"] == pytest.approx(1795662000.123456, abs=0.001)


def test_an_alert_is_silenced_for_a_time_with_a_reason(watcher: Watcher) -> None:
    Host.alerts.append(firing("HostDown", "critical", host="app-1"))
    said = alerts.silence(watcher, "HostDown", "its power supply is changed", "2h", "app-1")
    (made,) = [body for method, _, body in Host.asked if method == "POST"]

    assert said.startswith("HostDown is silent until ")
    assert ID in said
    assert {one["name"]: one["value"] for one in made["matchers"]} == {
        "alertname": "HostDown",
        "host": "app-1",
    }
    assert made["comment"] == "its power supply is changed"


@pytest.mark.parametrize("lasting", ["", "2", "0h", "2 h", "31d", "for ever", "99999m"])
def test_a_silence_without_an_end_is_refused(watcher: Watcher, lasting: str) -> None:
    with pytest.raises(RefusedError, match="a silence has an end"):
        alerts.silence(watcher, "HostDown", "its power supply is changed", lasting)
    assert Host.asked == []


def test_a_silence_without_a_reason_or_of_what_does_not_fire_is_refused(watcher: Watcher) -> None:
    with pytest.raises(RefusedError, match="needs --reason in words"):
        alerts.silence(watcher, "HostDown", "because", "2h")
    with pytest.raises(RefusedError, match="does not fire on app-1"):
        alerts.silence(watcher, "HostDown", "its power supply is changed", "2h", "app-1")
    assert not any(method == "POST" for method, _, _ in Host.asked)


def test_a_silence_is_ended_by_its_id(watcher: Watcher) -> None:
    assert "has ended" in alerts.end(watcher, ID)
    assert Host.asked[-1][:2] == ("DELETE", f"/api/v2/silence/{ID}")
    Host.broken = "silence"
    with pytest.raises(FailedError, match="It holds as it did"):
        alerts.end(watcher, ID)


def test_a_host_that_cannot_be_asked_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ssh, "command", lambda _host, _command: ["sh", "-c", "echo no route to it >&2; exit 255"]
    )
    with pytest.raises(UnreachableError, match=r"watch-1 .* cannot be asked: no route to it"):
        alerts.read(Watcher(HOST))


def test_an_inventory_without_a_host_that_watches_is_told_how_to_have_one() -> None:
    with pytest.raises(NobodyWatchesError, match="no host in the group monitoring"):
        of("lab")
    assert of("monitored").host.name == "watch-1"
