"""The engine of these tests: what it starts ends with it, and nothing of the machine is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.engine import Engine
from tests.containers.namespace import Namespace
from tests.lab import process

ROOT = Path(__file__).resolve().parents[2]
HOLDING = """\
import sys, time
from pathlib import Path
from tests.containers.namespace import Namespace
made = Namespace("true", Path(sys.argv[1]))
print(made.first.pid, flush=True)
time.sleep(60)
"""


def test_what_runs_in_a_namespace_ends_with_whoever_made_it_even_by_a_kill(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, tmp_path / "log"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    first = process.identify(int(holder.stdout.readline()))
    assert first

    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()

    assert process.wait(first, 10)
    holder.stdout.close()


def test_a_namespace_sees_no_interface_of_the_machine(tmp_path: Path) -> None:
    made = Namespace("true", tmp_path / "log")
    try:
        done = made.run(["ls", "/sys/class/net"], {})
        listed = made.run(["ip", "-brief", "link"], {}).stdout.split()
    finally:
        made.end()

    assert done.returncode == 0
    assert listed[0] == "lo"
    assert len([word for word in listed if word.startswith("<")]) == 1


def test_the_machines_own_podman_sees_nothing_of_it(engine: Engine) -> None:
    assert engine.podman("info", "--format={{.Store.GraphRoot}}").startswith(str(ROOT))
    assert not any(
        str(engine.place / "storage") in line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    )


def test_a_program_that_is_missing_is_named_with_what_to_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tests.containers import engine as engines
    from tests.lab.errors import LabError

    monkeypatch.setattr(engines, "CONTAINER_PACKAGES", {"no-such-program": "no-such-package"})

    with (
        pytest.raises(LabError, match=r"need no-such-program.*tests\.lab install --containers"),
        engines.running(tmp_path),
    ):
        pytest.fail("it ran")
