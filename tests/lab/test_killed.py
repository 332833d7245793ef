"""Whatever moment the lab is killed at, or the disk is full, the same command typed again works."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.conftest import ROOT, Checkout, run_lab, traces
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab


def killed_after(seconds: float, *arguments: str | Path) -> None:
    """Run a lab command and kill it, and nothing it started, after so many seconds."""
    command = [sys.executable, "-m", "tests.lab", *map(str, arguments)]
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()


def test_up_killed_at_any_moment_then_up_again(checkout: Checkout) -> None:
    inventory = checkout(test_21=21, test_22=22)
    before = traces(str(inventory.parents[1]))
    began = time.monotonic()
    assert run_lab("up", "--inventory", inventory).returncode == 0
    whole = time.monotonic() - began
    moments = [whole * (moment + random.random()) / 8 for moment in range(8)]
    for moment in moments:
        run_lab("down", "--inventory", inventory)
        killed_after(moment, "up", "--inventory", inventory)
        again = run_lab("up", "--inventory", inventory)
        assert again.returncode == 0, f"killed after {moment:.3f} s: {again.stderr}"
        for host in Lab(inventory).hosts.values():
            assert host.run("hostname").stdout.strip() == host.name, f"killed after {moment:.3f} s"
    run_lab("down", "--inventory", inventory)
    assert traces(str(inventory.parents[1])) == before


@pytest.mark.parametrize("command", ["snapshot", "restore"])
def test_snapshot_and_restore_killed_at_any_moment_lose_nothing(checkout: Checkout, command: str) -> None:
    inventory = checkout(test_23=23)
    lab = Lab(inventory)
    host = lab.host("test-23")
    lab.up()
    host.run(
        "echo kept > /srv/kept; head -c 50M /dev/urandom > /srv/big; sha256sum /srv/big > /srv/sum",
        check=True,
    )
    host.snapshot("first")
    for moment in (0.4, 0.6, 0.8, 1.0, 1.3, 1.6):
        killed_after(moment, command, "test-23", "first", "--inventory", inventory)
        lab.up()
        assert host.run("cat /srv/kept; sha256sum --quiet --check /srv/sum").stdout == "kept\n", moment
        assert host.snapshots() == ["first"]
    host.restore("first")
    assert host.run("sha256sum --quiet --check /srv/sum").returncode == 0


def test_down_killed_at_any_moment_then_up_again(checkout: Checkout) -> None:
    inventory = checkout(test_24=24)
    for moment in (0.45, 0.55, 0.65, 0.8):
        assert run_lab("up", "--inventory", inventory).returncode == 0
        killed_after(moment, "down", "--inventory", inventory)
        again = run_lab("up", "--inventory", inventory)
        assert again.returncode == 0, again.stderr
        assert Lab(inventory).host("test-24").run("systemctl is-system-running --wait").stdout == "running\n"


def on_a_small_disk(folder: Path, size: str) -> tuple[str, ...]:
    """Return a wrapper that runs a command with a file system of that size mounted on a folder, for it alone."""
    folder.mkdir(parents=True)
    script = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && shift 2 && exec "$@"'
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", size, str(folder))


def test_a_disk_that_fills_up_is_told_in_a_sentence(checkout: Checkout) -> None:
    inventory = checkout(test_25=25)
    wrapper = on_a_small_disk(inventory.parents[1] / ".lab", "32k")
    refused = run_lab("up", "--inventory", inventory, wrapper=wrapper)
    assert refused.returncode == 1
    assert "disk is full" in refused.stderr, refused.stderr
    assert "Traceback" not in refused.stderr
    assert run_lab("up", "--inventory", inventory).returncode == 0


def test_a_cache_without_room_for_an_image_is_told_in_a_sentence(checkout: Checkout, tmp_path: Path) -> None:
    inventory = checkout(test_26=26)
    wrapper = on_a_small_disk(tmp_path / "cache", "5m")
    environment = {**os.environ, "SLIPWAY_LAB_CACHE": str(tmp_path / "cache")}
    refused = run_lab("up", "--inventory", inventory, wrapper=wrapper, environment=environment)
    assert refused.returncode == 1
    assert "MB left" in refused.stderr, refused.stderr
    assert "SLIPWAY_LAB_CACHE" in refused.stderr
