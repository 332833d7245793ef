"""Verify says what is wrong with a host, and does not take what is no fault for one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.plugins.ansible_run import load_plugin
from tests.unit.plugins.test_postgresql_harness import run_module

from ansible.module_utils.slipway_verify import (  # isort: skip
    access, cli, database, edge as edges, live, looking, nginx, service, system, updates, watching,
)  # fmt: skip
from fabfile.hosts.environment import Public
from fabfile.programs import zipped
from tests.unit.fabfile.test_public import Service, edge
from tests.unit.plugins.test_certificates import NOW, pair

__all__ = ["edge"]

verify_complaints = load_plugin("filter/verify_complaints").verify_complaints


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that are found ahead of the host's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_failed_unit_of_somebody_else_is_a_note(programs: Path) -> None:
    listed = "fwupd-refresh.service loaded failed failed x\\nshop@1.service loaded failed failed x\\n"
    program(programs, "systemctl", f"printf '{listed}'")

    own, foreign = system.failed("shop")

    assert own == ["shop@1.service has failed: journalctl -u shop@1.service says why"]
    assert foreign == ["fwupd-refresh.service has failed: journalctl -u fwupd-refresh.service says why"]


@pytest.mark.parametrize(
    ("result", "seconds", "said"),
    [
        ("success", 2, []),
        ("success", 45, ["waited 45 s"]),
        ("exit-code", 120, ["waited 120 s"]),
        (None, 0, []),
    ],
    ids=["at once", "slowly", "in vain", "without networkd"],
)
def test_a_boot_that_waited_for_an_interface_without_network_says_so(
    result: str | None, seconds: int, said: list[str], programs: Path
) -> None:
    times = f"ExecMainStartTimestampMonotonic=7000000\\nExecMainExitTimestampMonotonic={7 + seconds}000000\\n"
    shown = (
        f"Result={result}\\n{times}" if result else "Result=success\\nExecMainStartTimestampMonotonic=0\\n"
    )
    failed = f"{system.ONLINE} loaded failed failed x\\n" if result == "exit-code" else ""
    program(programs, "systemctl", f"case $1 in show) printf '{shown}';; *) printf '{failed}';; esac")

    found = system.network()

    assert len(found) == len(said)
    assert all(words in sentence for words, sentence in zip(said, found, strict=True))
    assert system.failed("shop") == ([], [])


def test_a_unit_that_does_not_run_or_start_at_boot_is_named_with_what_to_type(programs: Path) -> None:
    program(programs, "systemctl", "case $1 in is-active) echo inactive; exit 3;; *) exit 1;; esac")

    assert system.units(["nginx"]) == [
        "nginx is inactive: systemctl start nginx, then journalctl -u nginx",
        "nginx does not start at boot: run site.yml",
    ]


@pytest.mark.parametrize(("contained", "said"), [(0, 0), (1, 2)])
def test_the_kernels_record_is_missed_on_a_machine_and_not_in_a_container(
    programs: Path, contained: int, said: int
) -> None:
    program(programs, "systemctl", "case $1 in is-active) echo inactive; exit 3;; *) exit 1;; esac")
    program(programs, "systemd-detect-virt", f"exit {contained}")

    assert len(system.units(["auditd"])) == said


@pytest.mark.parametrize(("taken", "left", "said"), [(90, 10, 0), (91, 9, 1), (0, 0, 0), (100, 0, 1)])
def test_a_disk_is_full_above_ninety_percent(taken: int, left: int, said: int) -> None:
    assert len(system.used("/srv", taken, left, "")) == said


def test_a_file_system_is_looked_at_once_whoever_is_on_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(system, "PATHS", (str(tmp_path), str(tmp_path / ".."), "/not-there"))
    monkeypatch.setattr(system, "FULL", -1)

    where = [sentence.split(" is full")[0] for sentence in system.disks("shop") if "inodes" not in sentence]

    assert where == [system.mount_of(str(tmp_path))]


def test_a_host_that_has_not_patched_itself_for_days_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = tmp_path / "stamp"
    monkeypatch.setattr(updates, "STAMP", str(stamp))
    assert updates.complaints() == []

    stamp.touch()
    now = stamp.stat().st_mtime
    assert updates.complaints(now + 2 * 86400) == []
    assert "last ran 5 days ago" in updates.complaints(now + 5 * 86400)[0]


def test_a_reboot_that_waits_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "REBOOT", str(tmp_path / "reboot-required"))
    (tmp_path / "reboot-required").touch()
    (tmp_path / "reboot-required.pkgs").write_text("linux-base\nlinux-base\n")
    assert updates.reboot() == ["the host waits for a reboot for linux-base"]


def test_a_release_that_is_not_ready_is_named_with_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(said: str) -> list[str]:
        (tmp_path / "said").write_text(said)
        monkeypatch.setattr(service, "PROGRAM", str(program(tmp_path, "slipway", f"cat {tmp_path}/said")))
        return service.release("shop")[0]

    socket = {"ready": False, "error": "refused", "body": ""}
    assert answers("") == ["slipway does not answer (): run site.yml"]
    assert answers(json.dumps({"result": {"live": None}})) == ["no release is live: run site.yml"]
    assert answers(json.dumps({"result": {"live": {"release": "R", "socket": socket}}})) == [
        "the release R is not ready (refused): journalctl -u shop@R"
    ]
    assert (
        answers(json.dumps({"result": {"live": {"release": "R", "socket": {**socket, "ready": True}}}})) == []
    )
    ended = {
        "release": "R",
        "name": "worker",
        "unit": {"active": "activating", "sub": "auto-restart"},
    }
    ready = {"live": {"release": "R", "socket": {**socket, "ready": True}}, "processes": [ended]}
    assert answers(json.dumps({"result": ready})) == [
        "the process worker is activating (auto-restart): journalctl -u shop-process@R:worker"
    ]


def test_an_edge_that_nobody_answers_is_named() -> None:
    (said,) = edges.complaints(edges.Client({"name": "shop.test", "authority": "/etc/ssl/certs"}, port=1))

    assert said.startswith("the edge does not answer for shop.test over TLS (")
    assert said.endswith("docs/runbooks/host-does-not-serve.md")


def test_a_database_that_does_not_answer_is_named_and_one_that_does_says_what_is_left(programs: Path) -> None:
    wanted = {"version": "14", "port": 5432, "name": "shop", "unit": "postgresql@14-main"}
    program(programs, "psql", "echo 'no such file' >&2; exit 2")
    assert database.database(wanted) == (
        ["PostgreSQL does not answer (no such file): journalctl -u postgresql@14-main"],
        None,
    )

    program(programs, "psql", "printf 'work_mem waits for a restart\\nconnections=97\\n'")
    assert database.database(wanted) == (["PostgreSQL: work_mem waits for a restart"], 97)


def test_what_hosts_say_is_compared() -> None:
    apps: list[dict[str, Any]] = [
        {"complaints": {"units": []}, "live": "A", "connections": 60},
        {"complaints": {"units": ["x"]}, "live": "B", "connections": 60},
    ]
    server = {"complaints": {}, "connections_left": 97}

    assert verify_complaints(apps[1], [*apps, server]) == [
        "x",
        "the app hosts serve different releases, A and B: fab deploy brings them to one",
    ]
    assert (
        "may open 130 connections, and max_connections leaves it 97"
        in verify_complaints(server, [*apps, server])[0]
    )
    assert verify_complaints({**server, "connections_left": 130}, [*apps, server]) == []


def test_on_a_host_without_anything_of_slipways_everything_that_is_missing_is_named() -> None:
    wanted = {"service": "shop", "units": ["slipway-nothing"], "app": {"name": "shop", "prefix": "SHOP_"}}
    seen = run_module("host_verify", wanted, check=True)

    assert not seen["changed"]
    assert any(sentence.startswith("slipway-nothing is ") for sentence in seen["complaints"]["units"])
    assert any(sentence.endswith("run site.yml") for sentence in seen["complaints"]["release"])
    assert seen["live"] is None


@pytest.mark.parametrize(
    ("status", "complaints"),
    [
        (200, []),
        # A service that says at another path that it is ready.
        (404, []),
        (503, ["the edge answers HTTP/1.1 503 "]),
        (421, ["the edge answers HTTP/1.1 421 "]),
    ],
)
def test_an_edge_answers_for_whatever_service_is_behind_it(
    edge: Public, monkeypatch: pytest.MonkeyPatch, status: int, complaints: list[str]
) -> None:
    def answer(handler: Service) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    monkeypatch.setattr(Service, "do_GET", answer)

    said = edges.complaints(edges.Client({"name": "shop.test", "authority": str(edge.ca)}, edge.port))

    assert [one.startswith(start) for one, start in zip(said, complaints, strict=True)] == [True] * len(
        complaints
    )


@pytest.mark.parametrize("renewed", [False, True])
def test_a_certificate_that_lies_there_and_is_not_shown_is_named(
    edge: Public, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renewed: bool
) -> None:
    """A renewal that nobody served looks well in every file, until the one that is shown ends."""
    monkeypatch.setattr(Service, "do_GET", lambda handler: handler.send_error(404))
    pair = tmp_path / "public.pem"
    pair.write_bytes((tmp_path / "certificate.pem").read_bytes() + (tmp_path / "key.pem").read_bytes())
    if renewed:
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=shop.test"]
        subprocess.run([*made, "-keyout", "/dev/null", "-out", str(pair)], check=True, capture_output=True)
    wanted = {"name": "shop.test", "authority": str(edge.ca), "certificate": str(pair)}

    said = edges.complaints(edges.Client(wanted, edge.port))

    shows = f"the edge shows shop.test another certificate than {pair} has: nginx still serves what it "
    assert said == ([f"{shows}read when it started; systemctl reload nginx"] if renewed else [])


@pytest.mark.parametrize(("days", "late"), [(51, False), (49.6, False), (48, True), (-1, True)])
def test_an_authoritys_certificate_is_late_a_day_after_a_third_of_its_time_is_left(
    days: float, late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "RENEWED", f"{tmp_path}/**/acme.pem")
    monkeypatch.setattr(system, "CERTIFICATES", [])
    monkeypatch.setattr(system, "time", SimpleNamespace(time=NOW.timestamp))
    file = tmp_path / "shop/acme.pem"
    file.parent.mkdir()
    # It began a hundred days ago.
    file.write_text(pair("shop.test", days=days).pem)

    said = system.certificates()

    assert len(said) == late
    assert all(str(file) in sentence and "certificate-not-renewed.md" in sentence for sentence in said)


def test_a_look_leaves_when_it_was_and_what_it_found_whole_or_not_at_all(tmp_path: Path) -> None:
    result = str(tmp_path / "run/slipway/{app}/verify.json")

    looking.leave("shop", {"units": ["a", "b"], "disks": ["c"]}, result)

    left = json.loads((tmp_path / "run/slipway/shop/verify.json").read_text())
    assert left["complaints"] == 3
    assert left["time"] > 1.7e9
    assert os.listdir(tmp_path / "run/slipway/shop") == ["verify.json"]


@pytest.mark.parametrize("words", [[], ["shop", "--settings=/tmp/x"], ["../../tmp/x"], ["-h"], ["a/b"]])
def test_the_program_takes_the_name_of_a_service_and_nothing_else(words: list[str]) -> None:
    assert cli.main(words) == 2


def test_the_program_says_why_it_could_not_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["shop"], str(tmp_path / "{app}.json")) == 1

    assert "The host was not looked at: FileNotFoundError" in capsys.readouterr().err


def test_as_one_file_it_looks_at_this_machine_by_its_settings(tmp_path: Path) -> None:
    """The archive that the role puts on hosts, on their Python where there is one: no library, no repository."""
    (tmp_path / "look-at-host").write_bytes(zipped.build_helper(Path(looking.__file__).parent))
    start = f"""import sys; sys.path.insert(0, {str(tmp_path / "look-at-host")!r})
from slipway_verify import cli, looking
looking.RESULT = {str(tmp_path / "{app}.result")!r}
raise SystemExit(cli.main(["shop"], {str(tmp_path / "{app}.json")!r}))"""
    wanted = {
        "service": "shop",
        "units": ["slipway-nothing"],
        "app": {},
        "database": {},
        "edge": {},
        "monitoring": {},
    }
    (tmp_path / "shop.json").write_text(json.dumps(wanted))

    done = subprocess.run([sys.executable, "-I", "-c", start], capture_output=True, text=True, check=False)

    line = next(line for line in done.stdout.splitlines() if line.startswith(cli.MARK))
    seen = json.loads(line.removeprefix(cli.MARK))
    assert seen["complaints"]["units"][0].startswith("slipway-nothing is ")
    assert seen["facts"]["cores"] == os.cpu_count()
    assert (tmp_path / "shop.result").exists()


DENYING = """table inet filter {
	chain input {
		type filter hook input priority filter; policy %s;
		ct state established,related accept
		tcp dport 22 accept%s
	}
	chain output {
		type filter hook output priority filter; policy drop;
	}
}
"""


@pytest.mark.parametrize(
    ("policy", "last", "denies"),
    [
        ("drop", "", ["inet filter input"]),
        ("accept", "", []),
        ("accept", "\n\t\tcounter packets 4 bytes 240 drop", ["inet filter input"]),
        ("accept", "\n\t\treject with icmpx type port-unreachable", ["inet filter input"]),
        # Slipway's own drain: one port, and all else as it was.
        ("accept", "\n\t\ttcp dport 8443 drop", []),
    ],
)
def test_a_chain_denies_by_its_policy_or_by_its_last_rule(policy: str, last: str, denies: list[str]) -> None:
    assert access.denying(DENYING % (policy, last)) == denies


def test_sshd_says_itself_what_it_goes_by(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "port 22\npasswordauthentication yes\nkbdinteractiveauthentication no\npermitrootlogin no\n"
    monkeypatch.setattr(access, "run", lambda *_words, **_more: subprocess.CompletedProcess((), 0, said, ""))
    assert access.sshd()["passwordauthentication"] == "yes"

    failed = subprocess.CompletedProcess((), 255, "", "no hostkeys available\n")
    monkeypatch.setattr(access, "run", lambda *_words, **_more: failed)
    assert access.sshd() == {"problem": "no hostkeys available"}


@pytest.mark.parametrize(("policy", "denies"), [("DROP", ["iptables INPUT"]), ("ACCEPT", [])])
def test_without_nft_iptables_is_asked(
    policy: str, denies: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: str, **_more: Any) -> subprocess.CompletedProcess[str]:
        status = 127 if words[0] == "nft" else 0
        return subprocess.CompletedProcess(words, status, f"-P INPUT {policy}\n", "nft is not there")

    monkeypatch.setattr(access, "run", run)

    assert access.firewall() == {"denies": denies}


def test_of_secrets_names_alone_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "etc/shop/credentials"
    folder.mkdir(parents=True)
    for name, text, mode in (
        ("secret_key", "a-long-secret-value", 0o600),
        ("other", "another-long-one", 0o644),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    (tmp_path / "etc/shop/shop.env").write_text(
        '# SHOP_OLD=a-long-secret-value\nSHOP_KEY="x a-long-secret-value"\nSHOP_WORKERS=2\n'
    )

    said = access.secrets("shop", str(tmp_path))

    assert said["credentials"] == ["other", "secret_key"]
    assert "other" in said["open"]
    assert said["told"] == ["SHOP_KEY"]
    assert "long" not in json.dumps(said)


NGINX = """# configuration file /etc/nginx/nginx.conf:
http {
    keepalive_timeout 65s;
    gzip on;
    server { listen 80; }
# configuration file /etc/nginx/conf.d/other.conf:
    client_max_body_size 9g;
# configuration file /etc/nginx/conf.d/shop.conf:
upstream shop {
    server 10.0.0.31:8443 max_fails=1 fail_timeout=5s; # app-1
    keepalive_timeout 60s;
}
    client_max_body_size 1m;
        limit_req zone=shop_requests burst=40 nodelay;
"""


def test_nginx_is_asked_for_what_it_reads_of_this_service() -> None:
    found = nginx.directives(NGINX, "shop")

    assert found["server"] == ["10.0.0.31:8443 max_fails=1 fail_timeout=5s"]
    assert found["client_max_body_size"] == ["1m"]
    assert found["keepalive_timeout"] == ["65s", "60s"]
    assert found["limit_req"] == ["zone=shop_requests burst=40 nodelay"]


def test_a_log_is_structured_where_its_lines_are_objects(tmp_path: Path) -> None:
    path = tmp_path / "shop.log"
    assert live.log(str(path))["lines"] == 0

    path.write_text('{"event":"a"}\n' * 30 + "Traceback\n[1]\n")
    assert live.log(str(path)) == {"lines": 20, "structured": 18, "size": path.stat().st_size}


def test_a_cache_answers_or_does_not(tmp_path: Path) -> None:
    assert live.cache({}) == {"named": False, "answers": False, "sentinel": False}
    assert live.cache({"SHOP_REDIS_URL": f"unix://{tmp_path}/none.sock"}) == {
        "named": True,
        "answers": False,
        "sentinel": False,
    }

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "redis.sock"))
        server.listen()
        answering = threading.Thread(target=_pong, args=(server,))
        answering.start()
        assert live.cache({"SHOP_REDIS_URL": f"unix://{tmp_path}/redis.sock"})["answers"]
        answering.join()


def test_a_cache_of_the_inventory_that_does_not_answer_is_told_with_its_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = f"unix://{tmp_path}/none.sock"
    monkeypatch.setattr(live, "settings", lambda app: {"SHOP_REDIS_URL": address})
    (said,) = live.cache_complaints("shop", "SHOP_", "cache-1")
    assert said.startswith(f"nobody answers at the address of Redis ({address})")
    assert said.endswith("journalctl -u redis-server on cache-1")

    monkeypatch.setattr(live, "cache", lambda given: {"answers": True})
    assert not live.cache_complaints("shop", "SHOP_", "cache-1")


def _pong(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(64)
        connection.sendall(b"+PONG\r\n")


def test_of_processes_those_that_answer_are_counted() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60 & wait"]) as parent:
        try:
            while len(live.processes(parent.pid)) < 2:
                time.sleep(0.01)
            children = live.processes(parent.pid)
            assert live.processes(children[0]) == [children[0]]
        finally:
            for pid in live.processes(parent.pid):
                os.kill(pid, signal.SIGTERM)
    assert live.processes(2**22 + 1) == []


def test_prometheus_that_does_not_answer_is_a_problem() -> None:
    assert watching.facts(1)["problem"].startswith("URLError")


def test_what_the_edge_says_to_a_browser_and_to_a_stranger_is_a_fact(
    edge: Public, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(handler: Service) -> None:
        handler.send_response(200 if handler.path != "/docs" else 404)
        handler.send_header("X-Frame-Options", "DENY")
        if origin := handler.headers["Origin"]:
            handler.send_header("Access-Control-Allow-Origin", origin)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    for method in ("GET", "POST", "OPTIONS"):
        monkeypatch.setattr(Service, f"do_{method}", answer, raising=False)

    found = edges.facts(edges.Client({"name": "shop.test", "authority": str(edge.ca)}, edge.port), "/x")

    assert found["tls"] in ("TLSv1.2", "TLSv1.3")
    assert found["headers"]["x-frame-options"] == "DENY"
    assert found["origins"] == [edges.STRANGER] * 2
    assert found["docs"] == {"/docs": 404, "/redoc": 200, "/openapi.json": 200}
    assert found["large"] == 200
