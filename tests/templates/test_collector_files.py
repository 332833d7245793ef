"""Whose a collected line is: each platform's own rsyslog with the rendered ruleset, and a sender that lies."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

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
ASK = """
import json, pathlib, socket, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for address in ("192.0.2.21", "192.0.2.22", "198.51.100.9"):
    subprocess.run(["ip", "address", "add", address + "/32", "dev", "lo"], check=True)
rsyslog = subprocess.Popen(sys.argv[2:])
deadline = time.monotonic() + 30
def send(source, name):
    line = f"<14>1 2026-11-22T16:05:01Z {name} shop 1 - - from {source} as {name}\\n"
    with socket.create_connection(("192.0.2.21", 2514), timeout=5, source_address=(source, 0)) as sending:
        sending.sendall(line.encode())
while True:
    try:
        send("192.0.2.21", "production-app-1")
        break
    except OSError:
        assert rsyslog.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
try:
    send("192.0.2.22", "production-app-1")
    send("192.0.2.22", "../../../etc/cron.d/x")
    send("198.51.100.9", "production-db-1")
    while sum(path.read_text().count("\\n") for path in folder.rglob("shop.log")) < 4:
        assert time.monotonic() < deadline, list(folder.rglob("*"))
        time.sleep(0.05)
    print(json.dumps({path.parent.name: path.read_text().splitlines() for path in folder.rglob("shop.log")}))
finally:
    rsyslog.terminate()
    rsyslog.wait(30)
"""


@pytest.mark.parametrize("platform", sorted(SUITES))
def test_a_line_is_filed_under_who_sent_it_whatever_name_it_bears(trees: Trees, platform: str) -> None:
    suite = SUITES[platform]
    if reason := checkers.unavailable(suite):
        pytest.skip(reason)
    rendered = trees[f"production-{platform}", "production-logs-1"].text("etc/rsyslog.d/20-collector.conf")
    ruleset = re.sub(r"(?ms)^module\(load=\"imrelp\".*?\)$|^input\(.*?\]\)$", "", rendered)
    assert "imrelp" not in ruleset
    with tempfile.TemporaryDirectory(prefix="sw") as folder:
        conf = Path(folder, "rsyslog.conf")
        conf.write_text(CONF.format(ruleset=ruleset.replace("/var/log/remote", f"{folder}/remote")))
        loader, root = nginx_of(suite)[:-1], checkers.root(suite)
        (modules,) = root.glob("usr/lib/*/rsyslog")
        rsyslog = [*loader, str(root / "usr/sbin/rsyslogd"), "-n", "-C", "-f", str(conf)]
        rsyslog += ["-i", f"{folder}/pid", "-M", str(modules)]
        done = subprocess.run(
            ["unshare", "--net", sys.executable, "-c", ASK, f"{folder}/remote", *rsyslog],
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    filed = json.loads(done.stdout)
    assert set(filed) == {"production-app-1", "production-app-2", "198.51.100.9"}
    assert filed["production-app-1"] == ["from 192.0.2.21 as production-app-1"]
    assert all("from 192.0.2.22 " in line for line in filed["production-app-2"])
