"""From a host's metrics to somebody who is told: the real Prometheus and Alertmanager, on loopback."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import jinja2
import pytest
import yaml

from fabfile.database.asking import ssh
from fabfile.hosts.app_host import AppHost
from fabfile.upkeep import alerts
from fabfile.upkeep.watcher import Watcher
from tests.lab import prometheus
from tests.receiver import Receiver
from tests.unit.monitoring.test_alerts import RULES, TABLE, VALUES

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root gives Alertmanager its templates, in a view of its own"
)
PATIENCE = 120
SENTENCE = "/ is full to 95 % (critical from 90 %)."
FINDING = (
    'slipway_database_finding{app="shop",check="disk",level="critical",'
    f'sentence="{SENTENCE}",command="fab db-status --env lab",runbook="db-disk.md"}} 1\n'
)
# Alertmanager looks for its templates there alone.
VIEW = 'mount -t overlay overlay -o "lowerdir=$0:/usr/share" /usr/share && exec "$@"'


class Exporter(http.server.BaseHTTPRequestHandler):
    """A host whose disk is full, or not."""

    full: ClassVar[bool] = True

    def do_GET(self) -> None:
        said = f'slipway_database_check_level{{app="shop",check="disk"}} {2 if Exporter.full else 0}\n'
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write((said + (FINDING if Exporter.full else "")).encode())

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def routes(receiver: Receiver) -> str:
    """The role's own file, in haste."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["to_json"] = json.dumps
    text = (ROOT / "templates/etc/prometheus/alertmanager.yml.j2").read_text()
    made = environment.from_string(text).render(
        alertmanager_webhook_url=receiver.url("alerts"),
        alertmanager_heartbeat_url=receiver.url("heartbeat"),
        alertmanager_repeat_hours=4,
    )
    return made.replace("group_interval: 1m", "group_interval: 2s").replace(
        "group_wait: 10s", "group_wait: 1s"
    )


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Watcher, Receiver]]:
    programs, judging, telling = prometheus.programs(), free_port(), free_port()
    Exporter.full = True
    exporter = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    rules = RULES.alert_rules(TABLE, VALUES)
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    target = {"targets": [f"127.0.0.1:{exporter.server_port}"], "labels": {"host": "db-1"}}
    told = {"static_configs": [{"targets": [f"127.0.0.1:{telling}"]}]}
    asked = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [told]},
        "scrape_configs": [{"job_name": "node", "honor_labels": True, "static_configs": [target]}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(asked))
    monkeypatch.setattr(ssh, "command", lambda _host, command: shlex.split(command))
    with ExitStack() as stack:
        stack.callback(exporter.server_close)
        stack.callback(exporter.shutdown)
        receiver = stack.enter_context(Receiver("127.0.0.1"))
        (tmp_path / "alertmanager.yml").write_text(routes(receiver))
        view = ["unshare", "--mount", "--propagation", "private", "sh", "-c", VIEW]
        for words in (
            [*view, str(programs / prometheus.SHARED.parent), str(programs / "prometheus-alertmanager"),
             "--config.file=alertmanager.yml", "--cluster.listen-address=",
             f"--web.listen-address=127.0.0.1:{telling}", "--storage.path=told"],
            [str(programs / "prometheus"), "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{judging}",
             "--storage.tsdb.path=kept", "--rules.alert.resend-delay=2s"],
        ):  # fmt: skip
            process = subprocess.Popen(
                words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=(tmp_path / "said").open("a")
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        yield (
            Watcher(AppHost("watch-1", "127.0.0.1", 22, "deploy", None, Path("/dev/null")), judging, telling),
            receiver,
        )
    shutil.rmtree(tmp_path / "kept", ignore_errors=True)


def test_a_fault_is_told_and_shown_and_silenced_and_told_to_be_over(chain: tuple[Watcher, Receiver]) -> None:
    watcher, receiver = chain
    came = receiver.await_("DatabaseCritical", "firing", 0.0, PATIENCE)
    assert came.said == {
        "sentence": f"shop: {SENTENCE}",
        "command": "fab db-status --env lab",
        "runbook": "db-disk.md",
    }
    receiver.await_("Watchdog", "firing", 0.0, PATIENCE)
    assert {each.path for each in receiver.messages if each.name == "Watchdog"} == {"/heartbeat"}

    told = alerts.read(watcher)
    assert (told.exit_code, [alert.name for alert in told.alerts]) == (2, ["DatabaseCritical"])
    said = alerts.silence(watcher, "DatabaseCritical", "the disk is being enlarged", "2h", "db-1")
    assert alerts.read(watcher).exit_code == 0
    alerts.end(watcher, said.rpartition(" ")[2])
    assert alerts.read(watcher).exit_code == 2

    Exporter.full = False
    receiver.await_("DatabaseCritical", "resolved", time.monotonic(), PATIENCE)
    assert alerts.read(watcher).exit_code == 0
