"""A machine that lacks something is told what, and how to get it; a program that fails is quoted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import commands
from tests.lab.errors import LabError

ROOT = Path(__file__).resolve().parents[3]


def test_missing_programs_are_named_with_one_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(commands, "search_path", lambda: str(tmp_path))
    with pytest.raises(LabError) as raised:
        commands.require(["systemd-nspawn", "ip", "mmdebstrap"])
    assert "systemd-nspawn, ip, mmdebstrap" in str(raised.value)
    assert "apt-get install --no-install-recommends iproute2 mmdebstrap systemd-container" in str(
        raised.value
    )


def test_a_missing_file_is_missing_too() -> None:
    assert commands.missing(["/absent/keyring.gpg"]) == ["/absent/keyring.gpg"]


def test_only_root_boots_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root"):
        commands.require_root()


def test_a_program_that_fails_is_quoted() -> None:
    with pytest.raises(
        LabError, match=r"Could not make a thing: sh ended with status 3 and said\n  the reason"
    ):
        commands.run(["sh", "-c", "echo the reason >&2; exit 3"], purpose="make a thing")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["up", "--inventory", "inventory/absent"], "There is no inventory folder"),
        (["restore", "shop-1", "never-made"], "has no snapshot 'never-made'"),
        (["ssh", "nobody"], "has no host nobody, only shop-1"),
    ],
)
def test_a_refusal_is_a_sentence_and_no_traceback(argv: list[str], sentence: str) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "tests.lab", *argv], cwd=ROOT, capture_output=True, text=True
    )
    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_address_of_a_group_is_that_of_its_first_host() -> None:
    command = [sys.executable, "-m", "tests.lab", "address", "app", "--inventory", "inventory/fleet"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout == "10.83.7.31\n"
