"""`slipway exec`: one command of the live release's own program, as the service, ended in time, and in the journal."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from slipway.upkeep import one_off

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import RELEASE, Host

ROOT = Path(__file__).parents[3]
TEMPLATES = ROOT / "templates/etc/systemd/system"
UNIT = """[Unit]
Description=shop, release %i
[Service]
Type=notify
# A comment=with a sign
User=shop
Environment=SHOP_RELEASE=%i
Environment=METRICS=/run/shop/%i/metrics
LoadCredential=secret_key:/etc/shop/credentials/secret_key
ExecStart=/bin/sh -c 'one && \\
    two'
RuntimeDirectory=shop/%i
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
CapabilityBoundingSet=
[Install]
WantedBy=multi-user.target
"""
# Says what it was given, and ends as its first word says.
PROGRAM = """#!/bin/sh
echo "release $SHOP_RELEASE" "$@"
echo "a warning" >&2
case "$1" in sleep) exec sleep 60;; read) cat;; esac
exit "$2"
"""


@pytest.fixture
def live(host: Host) -> Host:
    """A host on which a release is live that has a program."""
    directory = support.install_release(host, RELEASE)
    host.current.symlink_to(f"releases/{RELEASE}")
    host.console(RELEASE).parent.mkdir(parents=True, exist_ok=True)
    host.console(RELEASE).write_text(PROGRAM)
    host.console(RELEASE).chmod(0o755)
    host.service_unit.parent.mkdir(parents=True, exist_ok=True)
    host.service_unit.write_text(UNIT)
    assert directory.is_dir()
    return host


def execute(host: Host, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """slipway exec in a process of its own, as a controller has it."""
    return subprocess.run(
        support.command(host.root, "exec", *words), capture_output=True, text=True, check=False, **options
    )


def journaled(slipway: Slipway) -> list[dict[str, Any]]:
    return list(slipway("journal", "--step", "exec").result["entries"])


def test_its_output_is_the_commands_and_so_is_its_exit_code(live: Host, slipway: Slipway) -> None:
    done = execute(live, "--holder=ada", "--", "purge", "7", "--json", "a b", "$HOME", "50%")

    assert (done.returncode, done.stderr) == (7, "a warning\n")
    assert done.stdout == f"release {RELEASE} purge 7 --json a b $HOME 50%\n"
    begin, end = journaled(slipway)
    assert begin["details"]["words"] == ["purge", "7", "--json", "a b", "$HOME", "50%"]
    assert (begin["details"]["holder"], end["details"]["exit"], end["release"]) == ("ada", 7, RELEASE)


def test_it_gets_standard_input_only_when_that_is_said(live: Host) -> None:
    assert execute(live, "--", "read", "0", input="a secret").stdout.endswith("read 0\n")
    assert execute(live, "--input", "--", "read", "0", input="a secret").stdout.endswith("a secret")


def test_one_that_takes_too_long_is_ended_and_says_so(live: Host, slipway: Slipway) -> None:
    done = execute(live, "--seconds=1", "--", "sleep", "0")

    assert done.returncode == one_off.TOO_LONG
    assert "`shop sleep` of release" in done.stderr
    assert "was ended: it had not ended after 1 s" in done.stderr
    assert journaled(slipway)[-1]["result"] == "failed"
    assert slipway("status").result["unfinished"] == []


def test_one_whose_caller_is_gone_is_ended(live: Host, slipway: Slipway) -> None:
    reading, writing = os.pipe()
    began = time.monotonic()
    with subprocess.Popen(
        support.command(live.root, "exec", "--attached", "--seconds=60", "--", "sleep", "0"),
        stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        os.close(reading)
        assert running.stdout is not None
        # It runs; now its caller goes.
        assert running.stdout.readline().startswith("release")
        os.close(writing)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == one_off.TOO_LONG
    assert "whoever asked for it is gone" in errors
    assert time.monotonic() - began < 50


def test_a_second_one_waits_its_turn(live: Host) -> None:
    with subprocess.Popen(
        support.command(live.root, "exec", "--seconds=60", "--", "sleep", "0"),
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        done = execute(live, "--", "purge", "0")
        first.terminate()
    assert done.returncode == one_off.NOT_RUN
    assert "exec --seconds=60 -- sleep 0" in done.stderr
    # Which a request to end has ended with it.
    assert all(
        not state.get("pid") for unit, state in support.unit_states(live.root).items() if "exec" in unit
    )


def test_what_is_not_run_has_an_exit_code_of_its_own(host: Host) -> None:
    done = execute(host, "--", "purge")
    assert (done.returncode, done.stdout) == (one_off.NOT_RUN, "")
    assert "No release is live here" in done.stderr
    assert execute(host, "--seconds=x", "--", "purge").returncode == one_off.NOT_RUN
    assert execute(host).returncode == one_off.NOT_RUN


def test_it_has_the_services_user_credentials_and_sandbox_and_nothing_of_a_server(live: Host) -> None:
    assert list(one_off.properties(live.service_unit, RELEASE)) == [
        "User=shop",
        f"Environment=SHOP_RELEASE={RELEASE}",
        "LoadCredential=secret_key:/etc/shop/credentials/secret_key",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged",
        "CapabilityBoundingSet=",
    ]


def test_what_the_real_unit_gives_is_all_of_its_sandbox() -> None:
    given = set(one_off.properties(TEMPLATES / "{{ app_name }}@.service.j2", RELEASE))
    lines = (TEMPLATES / "{{ app_name }}@.service.j2").read_text().splitlines()
    assert {"User={{ app_name }}", "EnvironmentFile=/etc/{{ app_name }}/{{ app_name }}.env"} <= given
    assert not {line for line in given if line.startswith(("Exec", "Runtime", "Restart"))}
    # A line that is new there is given too, unless it is named as a server's.
    names = {line.partition("=")[0] for line in lines if "=" in line and line[0].isalpha()}
    unit_or_install = {"Description", "Documentation", "Wants", "After", "WantedBy"}
    unit_or_install |= {"StartLimitIntervalSec", "StartLimitBurst"}
    assert names - unit_or_install - one_off.SERVERS_OWN == {
        line.partition("=")[0] for line in given if line[0].isalpha()
    }
