"""`fab`'s connection to a host over real SSH: answers, banners, patience, a bastion, and few sessions."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import paramiko
import pytest

from fabfile.database.asking import ssh
from fabfile.errors import RefusedError
from fabfile.hosts import connection as module
from fabfile.hosts.connection import Remote, UnreachableError
from fabfile.hosts.environment import AppHost
from tests.unit.fabfile.ssh_server import serving

PROGRAM = """
import json, sys, time
said = []
for words in json.loads(sys.stdin.read()):
    if words[0] == "sleep":
        time.sleep(float(words[1]))
    said.append({"command": words[0], "changed": False, "result": {}, "exit": 0})
print(json.dumps(said))
"""
Connect = Callable[..., Remote]


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Gives a connection to a host whose slipway answers everything well. banner: what its login shell prints."""
    program = tmp_path / "slipway.py"
    program.write_text(PROGRAM)
    key = paramiko.RSAKey.generate(2048)
    key.write_private_key_file(str(tmp_path / "key"))

    with ExitStack() as stack:

        def make(most: int = 10, banner: str = "", proxy: str = "") -> Remote:
            port, own = stack.enter_context(serving(key, most))
            known = tmp_path / "known_hosts"
            known.write_text(f"[127.0.0.1]:{port} {own.get_name()} {own.get_base64()}\n")
            said = f"printf %s {banner!r}; " if banner else ""
            monkeypatch.setattr(
                module.Remote, "telling", f"{said}{module.MARKING}{sys.executable} {program} run"
            )
            way = proxy.format(python=sys.executable, port=port)
            made = Remote(AppHost("app-1", "127.0.0.1", port, "deploy", tmp_path / "key", known, way))
            made.open()
            stack.callback(made.close)
            return made

        yield make


@pytest.mark.parametrize("banner", ["", "Authorised use only\n", "[1, 2]\n", "no end of line\n"])
def test_commands_are_answered_whatever_the_login_shell_prints(connect: Connect, banner: str) -> None:
    host = connect(banner=banner)
    assert [answer.command for answer in host.perform(["status"], ["list"])] == ["status", "list"]
    host.prepare(2)
    assert [host.perform([name])[0].command for name in ("a", "b", "c")] == ["a", "b", "c"]


def test_a_host_that_does_not_end_is_told_from_one_that_is_lost(connect: Connect) -> None:
    with pytest.raises(UnreachableError, match=r"has not ended sleep within 0.2 s; it may still be at it"):
        connect().perform(["sleep", "20"], seconds=0.2)


def test_with_two_sessions_the_heartbeat_beats_while_a_migration_runs(connect: Connect) -> None:
    """A slipway that waits, or the reader of a migration's lines, held the second one: heartbeats were refused."""
    host = connect(most=2)
    host.require_sessions()
    host.session(optional=True).exec_command("sleep 30")
    beats: list[bool] = []
    work = threading.Thread(target=lambda: host.perform(["sleep", "2"]))
    work.start()
    for _ in range(3):
        beats.append(host.perform(["renew"])[0].ok)
    assert work.is_alive()
    work.join()
    assert beats == [True] * 3


def test_with_one_session_a_rollback_works_and_a_deploy_is_refused_by_name(connect: Connect) -> None:
    host = connect(most=1)
    host.prepare(3)
    assert [host.perform([name])[0].command for name in ("a", "b")] == ["a", "b"]
    with pytest.raises(RefusedError, match="MaxSessions"):
        host.require_sessions()


BRIDGE = (
    "import os,socket,sys,threading as t;s=socket.create_connection(('127.0.0.1',{port}));'%h'=='%''h' or exit(1);"
    "t.Thread(target=lambda:[os.write(1,d) for d in iter(lambda:s.recv(65536),b'')],daemon=True).start();"
    "[s.sendall(d) for d in iter(lambda:os.read(0,65536),b'')]"
)


def test_a_host_behind_a_bastion_is_reached_by_its_command(connect: Connect) -> None:
    bridge = BRIDGE.replace("'%h'=='%''h' or exit(1);", "")
    assert connect(proxy='{python} -c "' + bridge + '"').perform(["status"])[0].ok


def test_the_ssh_of_the_database_tools_takes_the_same_way(tmp_path: Path) -> None:
    """Nothing answers at the address itself; and what stands in the command already is not read anew."""
    key = paramiko.RSAKey.generate(2048)
    key.write_private_key_file(str(tmp_path / "key"))
    with serving(key, 10) as (port, own):
        known = tmp_path / "known_hosts"
        known.write_text(f"[192.0.2.9]:2222 {own.get_name()} {own.get_base64()}\n")
        way = f'{sys.executable} -c "{BRIDGE.format(port=port)}"'
        host = AppHost("db-1", "192.0.2.9", 2222, "deploy", tmp_path / "key", known, way)
        words = ssh.command(host, "echo it answers")
        said = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (said.stdout, said.stderr) == ("it answers\n", "")
