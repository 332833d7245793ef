"""`fab exec`: the words as they were typed, the output as it comes, the exit code of the command."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fabfile import exit_codes
from fabfile.errors import RefusedError
from fabfile.hosts import connection as module
from fabfile.hosts import environment
from fabfile.hosts.connection import UnreachableError
from fabfile.hosts.environment import Environment
from fabfile.upkeep import one_off
from tests.unit.fabfile import fake_fleet
from tests.unit.fabfile.fake_fleet import R1
from tests.unit.fabfile.test_connection import Connect, connect
from tests.unit.fabfile.test_usage import fab

__all__ = ["connect"]

# A slipway that says what it was given, on both outputs, and ends as it is told.
PROGRAM = """
import os, sys
words = sys.argv[sys.argv.index("--") + 1:]
print(words, flush=True)
print("a warning", file=sys.stderr, flush=True)
if "--input" in sys.argv:
    print(sys.stdin.read())
if words[0] == "endless":
    sys.stdin.read()
    open(words[1], "w").close()
os._exit(int(words[-1]) if words[-1].isdigit() else 0)
"""


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exec.py").write_text(PROGRAM)
    monkeypatch.setattr(module, "PROGRAM", f"{sys.executable} {tmp_path}/exec.py")


@pytest.mark.usefixtures("answering")
def test_output_and_exit_code_are_the_commands(
    connect: Connect, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    status = one_off.follow(connect(), ["exec", "--", "purge", "a b", "$HOME", "7"], 10)

    said = capfdbinary.readouterr()
    assert (status, said.err) == (7, b"a warning\n")
    assert said.out == b"['purge', 'a b', '$HOME', '7']\n"


@pytest.mark.usefixtures("answering")
def test_what_a_login_shell_prints_is_not_the_commands(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(module, "MARKING", f"echo Authorised use only; {module.MARKING}")
    assert one_off.follow(connect(), ["exec", "--input", "--", "read"], 10, b"a secret") == 0
    assert capfdbinary.readouterr().out == b"['read']\na secret\n"


@pytest.mark.usefixtures("answering")
def test_a_command_that_is_given_up_sees_its_input_end(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"has said nothing for 1 s\. The command is ended there"):
        one_off.follow(connect(), ["exec", "--attached", "--", "endless", f"{tmp_path}/ended"], 1)
    for _ in range(100):
        if (tmp_path / "ended").exists():
            return
        time.sleep(0.1)
    pytest.fail("its standard input did not end")


def test_ctrl_c_ends_the_command_and_says_so(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(*_: Any) -> int:
        raise KeyboardInterrupt

    remote = connect()
    monkeypatch.setattr(one_off, "_shown", pressed)
    monkeypatch.setattr(one_off, "_errors", lambda _: None)
    monkeypatch.setattr(one_off, "run", lambda *_: one_off.follow(remote, ["exec", "--", "purge"], 10))
    assert fab("exec", "--env=lab", "--", "purge", performed=True) == exit_codes.TOO_LONG
    assert "Interrupted: the command is ended on app-1" in capsys.readouterr().err


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What the hosts of a lab are asked to run."""
    found: list[Any] = []
    hosts = [fake_fleet.serving(name, R1) for name in ("app-1", "app-2")]
    lab = fake_fleet.environment_of(hosts, tmp_path)
    monkeypatch.setattr(environment, "load", lambda name: lab)

    def run(_: Environment, *given: Any) -> int:
        found.append(given)
        return 9

    monkeypatch.setattr(one_off, "run", run)
    return found


def test_the_words_behind_the_dashes_are_the_commands_whatever_they_are(asked: list[Any]) -> None:
    words = ["set-user", "ada@example.com", "--name", "Ada L", "$HOME", "--", "-e", "", "--help"]
    assert fab("exec", "--env", "lab", "--seconds=5", "--", *words, performed=True) == 9
    assert fab("exec", "--env=lab", "--host=app-2", "--words", "purge --all", performed=True) == 9
    assert asked == [(words, 5, "", None), (["purge", "--all"], 600, "app-2", None)]


@pytest.mark.parametrize(
    "typed", [["--"], [], ["--seconds=0", "--", "purge"], ["--host=-x", "--", "purge"], ["--words='"]]
)
def test_what_is_not_run_has_an_exit_code_of_its_own(asked: list[Any], typed: list[str]) -> None:
    assert fab("exec", "--env=lab", *typed, performed=True) == exit_codes.NOT_RUN
    assert asked == []


def test_a_host_of_another_environment_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lab = fake_fleet.environment_of([fake_fleet.serving("app-1", R1)], tmp_path)
    monkeypatch.setattr(environment, "load", lambda name: lab)
    with pytest.raises(RefusedError, match="app-9 is no app host of lab, which has app-1"):
        one_off.run(lab, ["purge"], 5, "app-9")
