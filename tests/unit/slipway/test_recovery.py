"""Killed at any journaled point, one at a time, torn journal: the next run converges."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from slipway.errors import LockHeldError
from slipway.journal.writing import Journal
from slipway.traffic import gate
from slipway.turns.lock import held

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, THIRD, Host
from tests.unit.slipway.test_activate import enabled, live, running

pytestmark = pytest.mark.usefixtures("quick_systemd")

ACTIVATE_RECORDS = 12


def steps(host: Host) -> list[str]:
    return [f"{entry['step']} {entry['phase']}" for entry in Journal(host.journal, "test").read().entries]


def test_staging_killed_at_any_point_is_finished_by_the_next_run(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    bundle = support.good_bundle(tmp_path)
    points = 0
    while True:
        with bundle.open("rb") as stream:
            killed = support.run(host.root, *support.staging(bundle), kill_after=points + 1, stdin=stream)
        if killed.returncode != -signal.SIGKILL:
            break
        points += 1
        status = slipway("status").result
        assert [entry["step"] for entry in status["unfinished"]] == ["stage"], f"after record {points}"
        if not (host.release(RELEASE) / "manifest.json").exists():
            assert slipway("activate", RELEASE).error == "not-staged"

    assert points >= 8, f"only {points} points were tried: {steps(host)}"
    assert killed.returncode == 0, killed.stdout
    assert (host.release(RELEASE) / "manifest.json").is_file()
    assert list(host.staging.iterdir()) == list(host.incoming.iterdir()) == []
    status = slipway("status").result
    assert (status["unfinished"], status["half_built"], status["leftovers"]) == ([], [], [])


def test_a_half_built_release_of_another_id_is_swept(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    (host.release(OTHER) / "venv/bin").mkdir(parents=True)
    bundle = support.good_bundle(tmp_path)
    assert slipway("status").result["half_built"] == [OTHER]

    answer = slipway(*support.staging(bundle), given=bundle)

    assert answer.result["swept"] == [f"srv/shop/releases/{OTHER}"]
    assert not host.release(OTHER).exists()


def test_staging_killed_while_pip_runs_is_finished_by_the_next_run(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    # Slow to compile, so that pip is still at work when slipway is killed.
    modules = {f"shop/m{number}.py": "x = [" + "1, " * 20_000 + "]\n" for number in range(40)}
    bundle = support.good_bundle(tmp_path, application=modules)
    words = support.staging(bundle)
    with bundle.open("rb") as stream:
        first = subprocess.Popen(support.command(host.root, *words), stdin=stream, stdout=subprocess.PIPE)
    installed = host.staging / RELEASE / "venv/bin/python"
    wait_for(installed.exists)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()

    assert slipway(*words, "--wait", "60", given=bundle).json["changed"] is True

    assert (host.release(RELEASE) / "manifest.json").is_file()
    assert len(list(host.release(RELEASE).glob("venv/lib/python3*/site-packages/shop/m*.py"))) == 40


def test_a_program_left_behind_by_a_killed_run_keeps_the_next_run_out(host: Host) -> None:
    program = (
        "import os, signal, subprocess, sys; from pathlib import Path; from slipway.turns import lock\n"
        "with lock.held(Path(sys.argv[1]), 'slipway stage', 'ada') as descriptor:\n"
        "    subprocess.Popen(['sleep', '2'], pass_fds=[descriptor])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(host.lock)], env={"PYTHONPATH": str(support.FILES)})

    with (
        pytest.raises(LockHeldError, match="is dead, but a program it started is still finishing"),
        held(host.lock, "slipway activate", "bob"),
    ):
        pass
    with held(host.lock, "slipway activate", "bob", wait=20):
        assert json.loads(host.lock.read_text())["who"] == "bob"


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


@pytest.mark.parametrize("point", range(1, ACTIVATE_RECORDS + 1))
def test_activation_killed_at_any_point_keeps_serving_and_is_finished_by_the_next_run(
    host: Host, slipway: Slipway, point: int
) -> None:
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
    slipway("activate", RELEASE)

    killed = support.run(host.root, "activate", OTHER, kill_after=point)

    assert killed.returncode == -signal.SIGKILL, f"it has fewer than {point} records: {steps(host)}"
    serving = live(host).removeprefix("releases/")
    assert serving in (RELEASE, OTHER)
    assert gate.probe(host.current / "http.sock").ready(serving), "the live release does not answer"
    assert host.unit(serving) in enabled(host), "the live release would not start at boot"
    if point < ACTIVATE_RECORDS:
        assert [entry["step"] for entry in slipway("status").result["unfinished"]] == ["activate"]
    assert slipway("activate", OTHER).code == 0
    assert live(host) == f"releases/{OTHER}"
    assert running(host) == enabled(host) == {host.unit(OTHER)}
    status = slipway("status").result
    assert (status["unfinished"], status["previous"]) == ([], RELEASE)
    assert slipway("activate", OTHER).json["changed"] is False


def test_an_activation_has_as_many_records_as_are_tried(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    slipway("activate", RELEASE)

    assert len(steps(host)) == ACTIVATE_RECORDS


@pytest.mark.parametrize("then", [RELEASE, THIRD])
def test_after_a_killed_activation_another_release_can_be_activated(
    host: Host, slipway: Slipway, then: str
) -> None:
    for release in (RELEASE, OTHER, THIRD):
        support.install_release(host, release)
    slipway("activate", RELEASE)
    support.run(host.root, "activate", OTHER, kill_after=7)
    assert host.unit(OTHER) in running(host)

    assert slipway("activate", then).code == 0

    assert live(host) == f"releases/{then}"
    assert running(host) == enabled(host) == {host.unit(then)}


def test_an_ended_connection_ends_the_activation_in_order(host: Host) -> None:
    support.install_release(host, RELEASE, "never")
    process = subprocess.Popen(support.command(host.root, "activate", RELEASE), stdout=subprocess.PIPE)
    wait_for(lambda: "activate.gate begin" in steps(host))

    process.send_signal(signal.SIGHUP)
    said = json.loads(process.communicate(timeout=20)[0])

    assert (process.returncode, said["error"]["code"]) == (3, "interrupted")
    assert running(host) == set()
    assert steps(host)[-3:] == ["activate.undo begin", "activate.undo end", "activate end"]


def test_two_changes_at_once_are_kept_apart(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    bundle = support.good_bundle(tmp_path)
    words = ["stage", "--bundle", "-", "--sha256", support.sha256(bundle)]
    first = subprocess.Popen(
        support.command(host.root, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    # It has the lock, and the file that it will write what it is sent to.
    wait_for(
        lambda: host.lock.exists() and host.lock.read_text() and list(host.root.rglob("incoming/.*.spool"))
    )
    before = support.snapshot(host.root)

    second = slipway("activate", RELEASE)

    assert (second.code, second.error) == (4, "lock-held")
    assert second.json["error"]["details"]["holder"]["pid"] == first.pid
    assert "slipway stage --bundle -" in second.message
    assert support.snapshot(host.root) == before
    assert slipway("status").result["lock"]["pid"] == first.pid
    first.communicate(bundle.read_bytes(), timeout=30)
    assert first.returncode == 0
    assert slipway("status").result["lock"] is None


def test_a_change_waits_for_the_one_before_when_asked(host: Host, slipway: Slipway, tmp_path: Path) -> None:
    bundle = support.good_bundle(tmp_path)
    words = ["stage", "--bundle", "-", "--sha256", support.sha256(bundle)]
    first = subprocess.Popen(
        support.command(host.root, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    wait_for(lambda: host.lock.exists() and host.lock.read_text())
    with bundle.open("rb") as stream:
        waiting = subprocess.Popen(
            support.command(host.root, *words, "--wait", "30"), stdin=stream, stdout=subprocess.PIPE
        )
    time.sleep(0.8)
    assert waiting.poll() is None, "it did not wait"

    first.communicate(bundle.read_bytes(), timeout=30)

    said = json.loads(waiting.communicate(timeout=30)[0])
    assert said["changed"] is False, said


def test_a_line_torn_by_a_power_cut_is_kept_and_reported(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    slipway("migrate", RELEASE)
    whole = host.journal.read_bytes()
    host.journal.write_bytes(whole + b'{"schema": 1, "time": "2026-11-2')

    status = slipway("status").result
    assert status["journal_torn"] == ['{"schema": 1, "time": "2026-11-2']
    slipway("migrate", RELEASE)

    reading = Journal(host.journal, "test").read()
    assert reading.torn == ['{"schema": 1, "time": "2026-11-2']
    assert [entry["sequence"] for entry in reading.entries] == [1, 2, 3, 4, 5]
    assert reading.entries[2]["details"] == {"torn_bytes": 32}
    assert host.journal.read_bytes().startswith(whole)


def test_the_journal_says_who_did_what_for_how_long(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    slipway("migrate", RELEASE, env={**os.environ, "SUDO_USER": "ada"})

    first, last = Journal(host.journal, "test").read().entries
    assert (first["step"], first["phase"], first["who"], first["release"]) == (
        "migrate",
        "begin",
        "ada",
        RELEASE,
    )
    assert (last["phase"], last["result"]) == ("end", "ok")
    assert isinstance(last["duration_ms"], int)
    assert first["time"] < last["time"]
