"""Somebody who is told by mail: the role's own route, the real Alertmanager, and a server that wants TLS."""

from __future__ import annotations

import json
import os
import re
import socketserver
import ssl
import subprocess
import threading
import time
import urllib.request
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import jinja2
import pytest

from tests.lab import prometheus
from tests.unit.monitoring.test_chain import ROOT, VIEW, free_port

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives Alertmanager its templates")
PATIENCE = 90
SENTENCE = "shop: / is full to 95 % (critical from 90 %)."


class Sink(socketserver.StreamRequestHandler):
    """As much of SMTP as Alertmanager speaks; what came is in `mails`, and over what."""

    mails: list[tuple[str, bytes]]
    context: ssl.SSLContext

    def handle(self) -> None:
        self.say("220 localhost")
        over = "plain"
        while line := self.rfile.readline().decode().strip():
            word = line.split(":")[0].upper().split()[0]
            if word in ("EHLO", "HELO"):
                self.say("250 localhost" if over == "TLS" else "250-localhost\r\n250 STARTTLS")
            elif word == "STARTTLS":
                self.say("220 go")
                self.connection = self.context.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
                over = "TLS"
            elif word == "DATA":
                self.say("354 go")
                text = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    text += part
                self.mails.append((over, text))
                self.say("250 ok")
            elif word == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
        self.wfile.flush()


def configuration(port: int) -> str:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["to_json"] = json.dumps
    made = environment.from_string((ROOT / "templates/etc/prometheus/alertmanager.yml.j2").read_text()).render(
        alertmanager_mail_to="oncall@shop.example", alertmanager_mail_from="alerts@shop.example",
        alertmanager_mail_smarthost=f"localhost:{port}", alertmanager_repeat_hours=4,
    )  # fmt: skip
    return made.replace("group_wait: 10s", "group_wait: 1s")


def told(port: int) -> None:
    """Tell Alertmanager of an alert, as Prometheus does."""
    alert = {
        "labels": {"alertname": "DatabaseCritical", "severity": "critical", "app": "shop", "host": "db-1"},
        "annotations": {"sentence": SENTENCE, "command": "fab db-status --env lab", "runbook": "db-disk.md"},
    }
    body = json.dumps([alert]).encode()
    wish = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v2/alerts", body, {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(wish, timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "Alertmanager takes no alert"
            time.sleep(0.3)


def test_a_mail_comes_over_tls_with_the_sentence_and_what_to_type(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    mails: list[tuple[str, bytes]] = []
    kind: Any = type("Taking", (Sink,), {"mails": mails, "context": context})
    sink = socketserver.ThreadingTCPServer(("127.0.0.1", 0), kind)
    sink.daemon_threads = True
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    (tmp_path / "alertmanager.yml").write_text(configuration(sink.server_address[1]))
    port, programs = free_port(), prometheus.programs()
    process = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", VIEW,
         str(programs / prometheus.SHARED.parent), str(programs / "prometheus-alertmanager"),
         "--config.file=alertmanager.yml", "--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{port}",
         "--storage.path=told"],
        cwd=tmp_path, env={**os.environ, "SSL_CERT_FILE": str(tmp_path / "cert.pem")},
        stdout=subprocess.DEVNULL, stderr=(tmp_path / "said").open("a"),
    )  # fmt: skip
    try:
        told(port)
        deadline = time.monotonic() + PATIENCE
        while not mails:
            assert time.monotonic() < deadline, (tmp_path / "said").read_text()
            time.sleep(0.3)
    finally:
        process.terminate()
        process.wait()
        sink.shutdown()
        sink.server_close()
    over, text = mails[0]
    mail = message_from_bytes(text, policy=policy.default)
    shown = re.sub(r"\s+", " ", mail.get_body(("html",)).get_content())  # type: ignore[union-attr]

    assert over == "TLS"
    assert (mail["To"], mail["From"]) == ("oncall@shop.example", "alerts@shop.example")
    assert "[FIRING:1]" in str(mail["Subject"])
    for part in (SENTENCE, "fab db-status --env lab", "db-disk.md"):
        assert part in shown
