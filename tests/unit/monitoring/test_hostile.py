"""Who is asked answers a gigabyte, never, or nonsense; a disk is full: Prometheus says so, and goes on."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import prometheus
from tests.unit.monitoring.test_alerts import RULES, TABLE, VALUES
from tests.unit.monitoring.test_chain import free_port

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root unpacks Prometheus, and mounts a small disk"
)
# The role's own bounds of an answer.
LIMITS = {
    name: yaml.safe_load(value)
    for name, value in re.findall(
        r"^ +(sample_limit|body_size_limit|label_limit): (\S+)$",
        (ROOT / "templates/etc/prometheus/prometheus.yml.j2").read_text(),
        re.MULTILINE,
    )
}
SAID = {
    "/gigabyte": "body size limit exceeded",
    "/hang": "context deadline exceeded",
    "/nonsense": "is not a valid start token",
    "/series": "sample limit exceeded",
    "/labels": "label_limit",
    "/moment": "",
}
CHUNK = b"x" * (1 << 20)
PATIENCE = 90


class Liar(http.server.BaseHTTPRequestHandler):
    """Answers by its path."""

    def do_GET(self) -> None:
        if self.path == "/hang":
            time.sleep(12)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        texts: dict[str, Callable[[], Iterator[bytes]]] = {
            "/gigabyte": lambda: (CHUNK for _ in range(1024)),
            "/nonsense": lambda: iter([b"<html>It works!</html>\n"]),
            "/series": lambda: (f'lie{{n="{number}"}} 1\n'.encode() for number in range(60_000)),
            "/labels": lambda: iter([("lie{" + ",".join(f'l{n}="x"' for n in range(60)) + "} 1\n").encode()]),
            # Of another century: the sample is left out, the rest is kept.
            "/moment": lambda: iter([b"lie 1 4102444800000\ntruth 1\n"]),
            "/good": lambda: iter([b"truth 1\n"]),
            # So many that what is kept is written each second.
            "/many": lambda: (f'truth{{n="{number}"}} {time.time()}\n'.encode() for number in range(3_000)),
        }
        try:
            for text in texts[self.path]():
                self.wfile.write(text)
        except OSError:
            """It hung up on the lie."""

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def running(
    folder: Path, paths: list[str], *before: str, each: str = "1s"
) -> Iterator[tuple[int, Callable[[str], Any]]]:
    """(pid, ask) of a Prometheus that asks a liar for these paths so often; before: words that start it."""
    liar = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    liar.daemon_threads = True
    threading.Thread(target=liar.serve_forever, daemon=True).start()
    targets = [f"127.0.0.1:{liar.server_port}"]
    jobs = [
        {"job_name": "node" if path == "/good" else path[1:], "metrics_path": path, **LIMITS,
         "static_configs": [{"targets": targets}]}
        for path in paths
    ]  # fmt: skip
    rules = RULES.alert_rules(TABLE, VALUES)
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    haste = {"scrape_interval": each, "scrape_timeout": each, "evaluation_interval": "1s"}
    told = {"global": haste, "rule_files": ["rules.yml"], "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(told))
    port = free_port()
    process = subprocess.Popen(
        [*before, str(prometheus.programs() / "prometheus"), "--config.file=prometheus.yml",
         f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.path=kept/data"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=(folder / "said").open("a"),
    )  # fmt: skip

    def ask(path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    try:
        yield process.pid, ask
    finally:
        process.terminate()
        process.wait()
        liar.shutdown()
        liar.server_close()


def until(found: Callable[[], Any], show: Callable[[], Any]) -> Any:
    """What is found, once it is; fail with what is shown."""
    deadline = time.monotonic() + PATIENCE
    while not (said := found()):
        assert time.monotonic() < deadline, show()
        time.sleep(0.5)
    return said


def fill(path: Path) -> None:
    """Write until there is no room."""
    with path.open("wb", buffering=0) as filling:
        while filling.write(CHUNK[: 1 << 12]):
            pass


def test_the_roles_bounds_are_those_that_are_tried() -> None:
    assert LIMITS == {"sample_limit": 50000, "body_size_limit": "20MB", "label_limit": 40}


def test_who_answers_a_gigabyte_or_never_is_said_to_be_down_and_the_others_are_seen(tmp_path: Path) -> None:
    with running(tmp_path, ["/good", *SAID], each="6s") as (pid, ask):

        def health() -> dict[str, Any]:
            known = ask("targets?state=active") or {"activeTargets": []}
            return {each["scrapePool"]: each for each in known["activeTargets"]}

        def judged() -> dict[str, Any]:
            now = health()
            return now if now and all(each["health"] != "unknown" for each in now.values()) else {}

        found = until(judged, health)
        memory = int((Path("/proc") / str(pid) / "statm").read_text().split()[1]) * 4096

        for path, said in SAID.items():
            assert said in found[path[1:]]["lastError"], found[path[1:]]
            assert (found[path[1:]]["health"] == "down") == bool(said), path
        assert found["node"]["health"] == "up"
        assert memory < 400 << 20
        kept = ask("query?query=truth")["result"]
        assert {row["metric"]["job"] for row in kept} == {"node", "moment"}
        assert ask("query?query=lie")["result"] == []


def test_a_full_disk_stops_the_heartbeat_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    small = 'mount -t tmpfs -o size=12M tmpfs kept && exec "$@"'
    with running(
        tmp_path, ["/good", "/many"], "unshare", "--mount", "--propagation=private", "sh", "-c", small, "sh"
    ) as (pid, ask):

        def firing() -> set[str]:
            return {each["labels"]["alertname"] for each in (ask("alerts") or {"alerts": []})["alerts"]}

        until(lambda: "Watchdog" in firing(), firing)
        filled = Path(f"/proc/{pid}/root{tmp_path}/kept/filling")
        with pytest.raises(OSError, match="No space left"):
            fill(filled)
        # A sample stands for five minutes when no other comes: ask as if they were over.
        until(lambda: "no space left" in (tmp_path / "said").read_text(), (tmp_path / "said").read_text)
        later = time.time() + 400
        for name, expected in (("NothingSeen", 1), ("Watchdog", 0)):
            row = next(row for row in TABLE if row["alert"] == name)
            said = ask("query?" + urllib.parse.urlencode({"query": row["expr"], "time": later}))["result"]
            assert len(said) == expected, (name, said)
