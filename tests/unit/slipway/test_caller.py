"""Who did it, in a journal whose writers share an account: by the key that sshd took, not by what somebody says."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from slipway.host import Host
from slipway.keys import fingerprint
from slipway.turns.caller import caller

from tests.unit.slipway import support

# What a public key begins with is the length of its kind's name.
ALICE, BOB, STRANGER = b"\0\0\0alice", b"\0\0\0bob", b"\0\0\0stranger"
LISTENING, MONITOR, SESSION, SHELL = 900, 4100, 4101, 4102
BEGAN = 1000.0
DEPLOY = 1001
SSHD = "/usr/sbin/sshd"


def accepted(key: bytes, user: str = "deploy") -> str:
    return f"Accepted publickey for {user} from 192.0.2.7 port 50022 ssh2: ED25519 {fingerprint(key)}"


@dataclass
class Login:
    """A host to which somebody came by SSH, and what its journal says of it."""

    host: Host

    def process(self, number: int, parent: int, user: int, program: str, began: float = BEGAN) -> None:
        folder = self.host.path(f"/proc/{number}")
        folder.mkdir(parents=True, exist_ok=True)
        ticks = int(began * os.sysconf("SC_CLK_TCK"))
        (folder / "stat").write_text(f"{number} (a) b) S {parent} {'0 ' * 17}{ticks} 0")
        (folder / "status").write_text(f"Name:\tx\nUid:\t{user}\t{user}\t{user}\t{user}\n")
        (folder / "exe").unlink(missing_ok=True)
        (folder / "exe").symlink_to(program)

    def says(self, *messages: str, seconds: float = BEGAN + 0.2) -> None:
        moment = str(int(seconds * 1e6))
        lines = [json.dumps({"MESSAGE": message, "__MONOTONIC_TIMESTAMP": moment}) for message in messages]
        self.host.path("/said").write_text("\n".join(lines))


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Login:
    """Alice's: sshd of root, sshd of hers, a shell, sudo, this process."""
    host = support.make_host(tmp_path)
    journalctl = tmp_path / "journalctl"
    asked = f"_PID={MONITOR} _UID=0 SYSLOG_IDENTIFIER=sshd"
    journalctl.write_text(f'#!/bin/sh\ncase "$*" in *"{asked}") cat {host.path("/said")} ;; esac\n')
    journalctl.chmod(0o755)
    login = Login(replace(host, journalctl=str(journalctl)))
    login.process(os.getppid(), SHELL, 0, "/usr/bin/sudo")
    login.process(SHELL, SESSION, DEPLOY, "/usr/bin/bash")
    login.process(SESSION, MONITOR, DEPLOY, SSHD)
    login.process(MONITOR, LISTENING, 0, SSHD)
    login.process(LISTENING, 1, 0, SSHD, began=10.0)
    login.says(accepted(ALICE))
    keys = host.path("/etc/ssh/slipway-keys/deploy")
    keys.parent.mkdir(parents=True)
    alice, bob = (base64.b64encode(key).decode() for key in (ALICE, BOB))
    keys.write_text(
        "# Who may log in as deploy.\n"
        f'from="10.0.0.0/8" ssh-ed25519 {alice} alice@example.com\n'
        f"ssh-ed25519 {bob} bob@example.com\n"
        "ssh-ed25519 AAAA%%% nobody\nssh-ed25519\n"
    )
    monkeypatch.setenv("SUDO_USER", "deploy")
    return login


def test_the_journal_names_whose_key_opened_the_session(login: Login) -> None:
    assert caller(login.host) == "alice@example.com as deploy"


def test_a_key_without_a_name_is_named_by_its_fingerprint(login: Login) -> None:
    login.says(accepted(STRANGER))
    assert caller(login.host) == f"{fingerprint(STRANGER)} as deploy"


def test_what_the_session_says_of_itself_counts_for_nothing(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSH_USER_AUTH", "SLIPWAY_WHO", "SSH_CONNECTION", "USER", "LOGNAME"):
        monkeypatch.setenv(name, "bob@example.com")
    assert caller(login.host) == "alice@example.com as deploy"


@pytest.mark.parametrize(
    ("what", "seconds"),
    [
        (accepted(BOB, user="ubuntu"), BEGAN),
        (f"error: {accepted(BOB)}", BEGAN),
        ("Accepted password for deploy from 192.0.2.7 port 50022 ssh2", BEGAN),
        ("not JSON at all", BEGAN),
        (accepted(BOB), BEGAN - 60),
    ],
    ids=["another account's", "within another sentence", "no key", "no sentence", "another process's number"],
)
def test_what_does_not_prove_a_key_proves_nothing(login: Login, what: str, seconds: float) -> None:
    login.says(what, seconds=seconds)
    assert caller(login.host) == "deploy"


def test_a_process_that_left_its_session_has_no_name(login: Login) -> None:
    login.process(SHELL, 1, DEPLOY, "/usr/bin/bash")
    assert caller(login.host) == "deploy"


def test_a_program_of_the_users_that_is_called_sshd_is_not_roots(login: Login) -> None:
    login.process(MONITOR, LISTENING, DEPLOY, SSHD)
    assert caller(login.host) == "deploy", "neither a user's process nor the one that listens let this one in"


def test_root_on_the_console_is_root(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER")
    assert caller(login.host) == "root"
