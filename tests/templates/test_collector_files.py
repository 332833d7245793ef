"""Whose a collected line is, and how much of one sender's is kept: the rendered ruleset in each platform's rsyslog."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.templates import checkers
from tests.templates.conftest import Trees
from tests.templates.rendering import SUITES
from tests.templates.test_nginx_answers import nginx_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a network addresses of its own")

# Plain TCP instead of RELP: who is connected is known in the same way, and what is tried is the ruleset.
CONF = """
module(load="imtcp")
{ruleset}
input(type="imtcp" port="2514" ruleset="collected")
"""
# In place of rsyslog_file_limit: what a file may grow to.
LIMIT = 1 << 20
SEND = """
import json, os, pathlib, resource, signal, socket, subprocess, sys, time
folder, limit, senders = pathlib.Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for address in ("10.83.7.31", "10.83.7.32", "198.51.100.9"):
    subprocess.run(["ip", "address", "add", address + "/32", "dev", "lo"], check=True)
rsyslog = subprocess.Popen(sys.argv[4:], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
deadline = time.monotonic() + 60
def send(source, lines):
    with socket.create_connection(("10.83.7.31", 2514), timeout=5, source_address=(source, 0)) as sending:
        for name, kind, text, times in lines:
            sending.sendall(f"<14>1 2026-11-22T16:05:01Z {name} {kind} 1 - - {text}\\n".encode() * times)
def filed():
    return {str(path.relative_to(folder)): path.read_text().splitlines() for path in folder.rglob("*.log")}
def until(there):
    while not there():
        assert rsyslog.poll() is None and time.monotonic() < deadline, {k: len(v) for k, v in filed().items()}
        time.sleep(0.05)
def listens():
    try:
        send("10.83.7.31", [])
        return True
    except OSError:
        return False
try:
    until(listens)
    for source, lines, path, last in senders:
        send(source, lines)
        until(lambda: any(last in line for line in filed().get(path, [])) or (folder / path).exists()
              and (folder / path).stat().st_size >= limit)
    before = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*.log")}
    kept = filed()
    def goes_on():
        # As logrotate does with one that has grown; what is left of a flood may fill the next one, too.
        for path in list(folder.rglob("*.log")):
            if path.stat().st_size >= limit:
                path.rename(path.with_suffix(".log.1"))
                rsyslog.send_signal(signal.SIGHUP)
        send("10.83.7.31", [["a", "shop", "anew", 1]])
        return "anew" in filed().get("app-1/shop.log", [])
    until(goes_on)
    print(json.dumps({"sizes": before, "lines": kept}))
finally:
    rsyslog.terminate()
    rsyslog.wait(30)
"""


@pytest.fixture(params=sorted(SUITES))
def collector(trees: Trees, request: pytest.FixtureRequest) -> Iterator[Any]:
    """collector([[from, [[claimed name, kind, text, times]], file, what in it shows that all are filed]]): all."""
    suite = SUITES[request.param]
    if reason := checkers.unavailable(suite):
        pytest.skip(reason)
    rendered = trees[f"fleet-{request.param}", "logs-1"].text("etc/rsyslog.d/20-collector.conf")
    ruleset = re.sub(r"(?ms)^module\(load=\"imrelp\".*?\)$|^input\(.*?\]\)$", "", rendered)
    assert "imrelp" not in ruleset
    loader, root = nginx_of(suite)[:-1], checkers.root(suite)
    (modules,) = root.glob("usr/lib/*/rsyslog")
    with tempfile.TemporaryDirectory(prefix="sw") as folder:
        conf = Path(folder, "rsyslog.conf")
        conf.write_text(CONF.format(ruleset=ruleset.replace("/var/log/remote", f"{folder}/remote")))
        rsyslog = [*loader, str(root / "usr/sbin/rsyslogd"), "-n", "-C", "-f", str(conf)]
        rsyslog += ["-i", f"{folder}/pid", "-M", str(modules)]

        def sent(senders: list[Any]) -> dict[str, Any]:
            words = [f"{folder}/remote", str(LIMIT), json.dumps(senders), *rsyslog]
            done = subprocess.run(
                ["unshare", "--net", sys.executable, "-c", SEND, *words],
                capture_output=True, text=True, timeout=90, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-4000:]
            return dict(json.loads(done.stdout))

        yield sent


def test_a_line_is_filed_under_who_sent_it_whatever_name_it_bears(collector: Any) -> None:
    def claims(name: str, source: str) -> list[Any]:
        return [[name, "shop", f"from {source} as {name}", 1]]

    filed = collector(
        [
            ["10.83.7.31", claims("app-1", "21"), "app-1/shop.log", "21"],
            ["10.83.7.32", claims("app-1", "22"), "app-2/shop.log", "22"],
            ["10.83.7.32", claims("../../../etc/cron.d/x", "22"), "app-2/shop.log", "cron"],
            ["198.51.100.9", claims("db-1", "9"), "unknown/shop.log", "9"],
        ]
    )["lines"]
    assert set(filed) == {"app-1/shop.log", "app-2/shop.log", "unknown/shop.log"}
    assert filed["app-1/shop.log"] == ["from 21 as app-1"]
    assert all("from 22 " in line for line in filed["app-2/shop.log"])


def test_a_sender_has_a_file_for_each_kind_and_makes_no_others(collector: Any) -> None:
    kinds = ["shop", "uvicorn", "nginx-access", "postgresql", "auth", "kernel", "system", "../../x", "-"]
    lines = [["db-1", kind, f"a line of {kind}", 1] for kind in kinds]
    filed = collector([["10.83.7.32", lines, "app-2/shop.log", "of -"]])["lines"]

    of_kinds = {f"app-2/{kind}.log" for kind in kinds if kind.isalpha() or kind == "nginx-access"}
    assert set(filed) == of_kinds - {"app-2/uvicorn.log"}
    named = [f"a line of {kind}" for kind in ("shop", "uvicorn", "../../x", "-")]
    assert filed["app-2/shop.log"] == named
    # A file of the sender's is as it was there; what came out of its journal says when, and who sent it.
    assert filed["app-2/postgresql.log"] == ["a line of postgresql"]
    assert filed["app-2/auth.log"] == ["2026-11-22T16:05:01Z app-2 a line of auth"]


def test_a_sender_that_floods_fills_its_own_file_and_takes_no_line_of_the_others(collector: Any) -> None:
    flood = [["a", "shop", "x" * 1000, 3 * LIMIT // 1000]]
    others = [["b", "shop", f"beside it {number}", 1] for number in range(100)]
    beside = "app-2/shop.log"
    found = collector(
        [
            ["10.83.7.31", flood, "app-1/shop.log", "no line says this"],
            ["10.83.7.32", others, beside, "beside it 99"],
            ["10.83.7.31", flood, "app-1/shop.log", "no line says this"],
            ["10.83.7.32", [["b", "shop", "the last", 1]], beside, "the last"],
        ]
    )
    assert found["sizes"]["app-1/shop.log"] == LIMIT
    assert found["lines"][beside] == [text for _, _, text, _ in others] + ["the last"]
