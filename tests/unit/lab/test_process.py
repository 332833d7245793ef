"""A process that the lab recorded is ended, and no other, whatever happens to its pid."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import process
from tests.lab.errors import LabError


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    started = subprocess.Popen(["sleep", "60"])
    yield started
    started.kill()
    started.wait()


def test_a_process_is_known_by_its_pid_and_start(sleeper: "subprocess.Popen[bytes]") -> None:
    identity = process.identify(sleeper.pid)
    assert identity is not None
    assert process.alive(identity)


def test_a_reused_pid_is_never_signalled(sleeper: "subprocess.Popen[bytes]") -> None:
    now = process.identify(sleeper.pid)
    assert now is not None
    recorded = replace(now, start=now.start - 1)
    assert not process.alive(recorded)
    process.end(recorded, seconds=0)
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(0.2)


def test_a_record_from_before_the_machine_booted_is_of_no_process(sleeper: "subprocess.Popen[bytes]") -> None:
    now = process.identify(sleeper.pid)
    assert now is not None
    assert not process.alive(replace(now, boot_id="00000000-0000-0000-0000-000000000000"))


def test_a_zombie_has_ended(sleeper: "subprocess.Popen[bytes]") -> None:
    identity = process.identify(sleeper.pid)
    assert identity is not None
    os.kill(sleeper.pid, signal.SIGKILL)
    assert process.wait(identity, 5)
    assert not process.alive(identity)


def test_a_process_that_ignores_a_request_to_end_is_killed() -> None:
    stubborn = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    identity = process.identify(stubborn.pid)
    assert identity is not None
    process.end(identity, seconds=0.2)
    assert stubborn.wait(5) == -signal.SIGKILL
    stubborn.stdout.close()


def test_a_started_process_has_its_record_before_start_returns(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    identity = process.start(["sleep", "60"], record=record, about={"name": "sleeper"}, log=tmp_path / "log")
    try:
        assert process.load(record) == (identity, {"name": "sleeper"})
        assert process.alive(identity)
        assert os.getsid(identity.pid) != os.getsid(0)
    finally:
        process.end(identity)
    assert not process.alive(identity)


def test_a_lock_is_held_until_the_record_is_written_and_not_after(tmp_path: Path) -> None:
    held = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    identity = process.start(
        ["sleep", "60"], record=tmp_path / "r.json", about={}, log=tmp_path / "log", hold=[held]
    )
    try:
        # The program may still be on its way from the fork.
        deadline = time.monotonic() + 5
        while str(tmp_path / "lock") in map(os.readlink, Path(f"/proc/{identity.pid}/fd").iterdir()):
            assert time.monotonic() < deadline, "the lock is still held"
            time.sleep(0.01)
    finally:
        os.close(held)
        process.end(identity)


def test_a_process_that_could_not_be_recorded_is_an_error_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="No such file or directory"):
        process.start(["sleep", "60"], record=tmp_path / "absent" / "r.json", about={}, log=tmp_path / "log")


def test_the_children_of_a_process_are_found(tmp_path: Path) -> None:
    parent = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
    identity = process.identify(parent.pid)
    assert identity is not None
    deadline = time.monotonic() + 5
    while not (children := process.children(identity)):
        assert time.monotonic() < deadline, "the shell's child did not appear within 5 s"
    process.end(children[0])
    parent.wait(5)
    assert process.children(identity) == []
