"""A host that takes no traffic: drained, in a network namespace with the kernel's own rules; under maintenance."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.unit.conftest import Answer, Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import RELEASE, Host

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network namespace")

# Inside the namespace: a port that echoes lines, a connection that is there before, and then what is asked on stdin.
INSIDE = """
import socket, subprocess, sys, threading
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = socket.create_server(("127.0.0.1", 8443))
def serve():
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo, args=[connection], daemon=True).start()
def echo(connection):
    while data := connection.recv(100):
        connection.sendall(data)
threading.Thread(target=serve, daemon=True).start()
old = socket.create_connection(("127.0.0.1", 8443))
for line in sys.stdin:
    word = line.strip()
    try:
        if word == "old":
            old.sendall(b"ping")
            print(old.recv(100).decode(), flush=True)
        elif word == "close":
            old.close()
            print("closed", flush=True)
        elif word == "new":
            socket.create_connection(("127.0.0.1", 8443), timeout=5).close()
            print("accepted", flush=True)
        else:
            print(subprocess.run(word, shell=True).returncode, flush=True)
    except OSError as failure:
        print(type(failure).__name__, flush=True)
"""


class Network:
    """A network namespace of its own; slipway runs inside it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.inside = subprocess.Popen(
            ["unshare", "--net", "python3", "-c", INSIDE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, word: str) -> str:
        assert self.inside.stdin is not None
        assert self.inside.stdout is not None
        self.inside.stdin.write(f"{word}\n")
        self.inside.stdin.flush()
        return self.inside.stdout.readline().strip()

    def slipway(self, *words: str, kill_after: int = 0) -> Answer:
        out = self.host.root.parent / "answer"
        code = int(
            self.ask(f"{shlex.join(support.command(self.host.root, *words, kill_after=kill_after))} > {out}")
        )
        return Answer(code, json.loads(out.read_text() or "{}"))

    def end(self) -> None:
        self.inside.kill()
        self.inside.communicate()


@pytest.fixture
def network(host: Host) -> Iterator[Network]:
    found = Network(host)
    assert found.ask("new") == "accepted"
    yield found
    found.end()


@needs_root
def test_a_drained_host_refuses_new_connections_and_ends_the_old_in_peace(network: Network) -> None:
    answer = network.slipway("drain")

    assert (answer.json["changed"], answer.result["port"], answer.result["refusing"]) == (True, 8443, True)
    assert network.ask("new") == "ConnectionRefusedError"
    assert network.ask("old") == "ping"
    assert network.slipway("drain").json["changed"] is False
    status = network.slipway("status").result["drained"]
    assert (status["port"], status["refusing"]) == (8443, True)
    assert network.slipway("recover").result["drained"]["refusing"] is True

    assert network.slipway("undrain").json["changed"] is True

    assert (network.ask("new"), network.ask("old")) == ("accepted", "ping")
    assert network.slipway("undrain").json["changed"] is False
    assert network.slipway("status").result["drained"] is None


@needs_root
def test_what_drained_a_host_is_known_and_stays_so(network: Network) -> None:
    assert network.slipway("drain").result["why"] is None
    network.slipway("undrain")
    network.slipway("drain", "--why=patch")
    assert network.slipway("drain", "--why=other").result["why"] == "patch"
    assert network.slipway("status").result["drained"]["why"] == "patch"


@needs_root
def test_a_drained_host_is_quiet_when_the_edges_connections_have_ended(network: Network) -> None:
    # A moment after the drain has begun the edge's connection ends.
    begun = f"""grep -q '"step": "drain"' {network.host.journal}"""
    network.ask(f"(until {begun}; do sleep 0.05; done; sleep 0.5; ss -K sport = :8443) >/dev/null 2>&1 &")
    answer = network.slipway("drain", "--quiet")
    assert answer.code == 0
    assert answer.result["quiet_s"] >= 0.3
    assert network.ask("new") == "ConnectionRefusedError"


@needs_root
def test_a_rule_that_somebody_flushed_is_told_and_put_back(network: Network) -> None:
    network.slipway("drain")
    network.ask("nft flush ruleset")
    assert network.slipway("status").result["drained"]["refusing"] is False

    assert network.slipway("drain").json["changed"] is True
    assert network.ask("new") == "ConnectionRefusedError"


RULE = (
    "nft 'table inet {table} {{ chain drain {{ type filter hook input priority -10; policy accept; "
    "tcp dport {port} tcp flags & (fin | syn | rst | ack) == syn reject with tcp reset; }}; }};'"
)


@needs_root
def test_a_rule_of_an_earlier_slipway_goes_and_another_services_stays(host: Host, network: Network) -> None:
    for table, port in (("slipway", 8443), ("slipway_stall", 8444)):
        assert network.ask(RULE.format(table=table, port=port)) == "0"
    host.drained.write_text(json.dumps({"since": "2026-11-26T17:00:00Z", "port": 8443}))
    assert network.slipway("status").result["drained"]["refusing"] is True

    assert network.slipway("undrain").json["changed"] is True

    assert network.ask("new") == "accepted"
    assert network.ask("nft list table inet slipway > /dev/null 2>&1") == "1"
    assert network.ask("nft list table inet slipway_stall > /dev/null") == "0"


@needs_root
def test_a_rule_of_the_old_name_for_another_port_is_not_this_services(network: Network) -> None:
    assert network.ask(RULE.format(table="slipway", port=8444)) == "0"

    assert network.slipway("undrain").json["changed"] is False

    assert network.ask("nft list table inet slipway > /dev/null") == "0"


def test_a_host_whose_nginx_does_not_look_yet_is_not_drained(host: Host, slipway: Slipway) -> None:
    host.private_server.write_text("server {\n    listen 127.0.0.1:8443 ssl;\n}\n")

    answer = slipway("drain")

    assert (answer.code, answer.error) == (2, "not-told")


@needs_root
@pytest.mark.parametrize("point", [1, 2, -1, -2])
@pytest.mark.parametrize("then", ["drain", "undrain"])
def test_a_drain_killed_at_any_record_is_finished_or_taken_back(
    network: Network, point: int, then: str
) -> None:
    assert network.slipway("drain", kill_after=point).code != 0

    assert network.slipway(then).code == 0

    assert network.ask("new") == ("ConnectionRefusedError" if then == "drain" else "accepted")
    assert network.slipway("recover").code == 0
    assert network.slipway("status").result["unfinished"] == []
    assert network.slipway("journal", "--verify").code == 0


def test_a_host_without_an_edge_before_it_is_not_drained(host: Host, slipway: Slipway) -> None:
    before = support.snapshot(host.root)

    answer = slipway("drain", "--port", str(free_port()))

    assert (answer.code, answer.error) == (2, "not-listening")
    assert "slipway maintenance on" in answer.message
    assert support.snapshot(host.root) == before
    assert slipway("drain", "--port", "0").error == "usage"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_maintenance_is_a_file_for_nginx_and_a_problem_for_the_client(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    slipway("activate", RELEASE)

    answer = slipway("maintenance", "on", "--message", "Back at <b>five</b>")

    assert answer.result["message"] == "Back at <b>five</b>"
    assert slipway("status").result["maintenance"]["message"] == "Back at <b>five</b>"
    assert host.maintenance.stat().st_mode & 0o777 == 0o644
    text = (host.maintenance.parent / "maintenance.json").read_text()
    filled_in = re.compile(r'<!--# echo var="(\w+)" [^<>]*-->')
    assert set(filled_in.findall(text)) == {"slipway_instance", "slipway_request_id"}
    shown = filled_in.sub("x", text)
    assert "<" not in shown, "something else than the request's path and id is for nginx to fill in"
    assert json.loads(shown)["message"] == "Back at <b>five</b>"
    assert slipway("maintenance", "on", "--message", "Back at <b>five</b>").json["changed"] is False
    assert slipway("maintenance", "on", "--message", "Back at six").json["changed"] is True
    assert [slipway("maintenance", "off").json["changed"] for _ in range(2)] == [True, False]
    assert not host.maintenance.exists()
    assert slipway("maintenance", "off", "--message", "x").error == "usage"
    assert slipway("status").result["maintenance"] is None
