"""Who counts as one client, by each platform's own nginx with the rendered zones."""

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
from tests.templates.test_nginx_answers import buffers_below, nginx_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a network addresses of its own")

CONF = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; user root;
events {{ }}
http {{
  {buffers}
  access_log off;
  {zones}
  server {{
    listen 80; listen [::]:80;
    limit_req zone=shop_requests;
    {trusted}
    root {folder};
    location / {{ try_files /none =404; }}
  }}
}}
"""
# Asks once from each address in turn, and says what each was answered.
ASK = """
import json, socket, subprocess, sys, time
for address in ("2001:db8:0:1::1", "2001:db8:0:1:f::2", "2001:db8:0:2::1"):
    subprocess.run(["ip", "address", "add", address + "/128", "dev", "lo", "nodad"], check=True)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
nginx = subprocess.Popen(sys.argv[1:])
def ask(source, target, claimed=""):
    with socket.create_connection((target, 80), timeout=10, source_address=(source, 0)) as asking:
        header = f"X-Forwarded-For: {claimed}\\r\\n" if claimed else ""
        asking.sendall(f"GET / HTTP/1.0\\r\\n{header}\\r\\n".encode())
        return int(asking.makefile("rb").readline().split()[1])
deadline = time.monotonic() + 30
while True:
    try:
        socket.create_connection(("127.0.0.1", 80), timeout=1).close()
        break
    except OSError:
        assert nginx.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
sources = ("2001:db8:0:1::1", "2001:db8:0:1:f::2", "2001:db8:0:2::1", "127.0.0.1", "127.0.0.2")
claims = [("127.0.0.9", "203.0.113.1"), ("127.0.0.9", "203.0.113.1"), ("127.0.0.9", "203.0.113.2"),
          ("127.0.0.3", "203.0.113.3"), ("127.0.0.3", "203.0.113.4")]
try:
    own = [ask(source, "2001:db8:0:1::1" if ":" in source else "127.0.0.1") for source in sources]
    print(json.dumps([own, [ask(source, "127.0.0.1", claimed) for source, claimed in claims]]))
finally:
    nginx.terminate()
    nginx.wait(30)
"""


def answers(trees: Trees, platform: str) -> list[list[int]]:
    """What an nginx with the rendered zones, and the rendered trust in balancers, answers to each in turn."""
    of_all = trees[f"lab-{platform}", "shop-1"].text("etc/nginx/nginx.conf")
    rendered, everything = (
        trees[case, "shop-1"].text("etc/nginx/conf.d/shop.conf")
        for case in (f"lab-{platform}", f"lab-{platform}-everything")
    )
    (networks,) = re.findall(r"^ *map \$binary_remote_addr .*?^ *\}$", of_all, re.MULTILINE | re.DOTALL)
    zones = networks + rendered[rendered.index("limit_req_zone") : rendered.index("limit_conn_zone")]
    # One request a minute: no second one fits, however slow this machine is.
    zones = re.sub(r"rate=\d+r/s", "rate=1r/m", zones) + "limit_req_status 429;"
    first = everything[: everything.index("real_ip_recursive on;")]
    trusted = (
        "\n".join(re.findall(r"^ *(?:set_real_ip_from|real_ip_header) .*$", first, re.M))
        + "\nreal_ip_recursive on;"
    )
    with tempfile.TemporaryDirectory(prefix="sw") as folder:
        conf = Path(folder, "nginx.conf")
        conf.write_text(
            CONF.format(folder=folder, buffers=buffers_below(Path(folder)), zones=zones, trusted=trusted)
        )
        nginx = [*nginx_of(SUITES[platform]), "-p", folder, "-c", str(conf)]
        done = subprocess.run(
            ["unshare", "--net", sys.executable, "-c", ASK, *nginx],
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("platform", sorted(SUITES))
def test_who_counts_as_one_client(trees: Trees, platform: str) -> None:
    if reason := checkers.unavailable(SUITES[platform]):
        pytest.skip(reason)

    own, claimed = answers(trees, platform)

    assert own == [404, 429, 404, 404, 404], "the addresses of one IPv6 network are one client"
    assert claimed[:3] == [404, 429, 404], "whom a trusted balancer names is the client"
    assert claimed[3:] == [404, 429], "what anybody else claims is worth nothing"
