"""A change of the way in stays when a second login proves it; otherwise what stood before is given back."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.test_host_files_harness import FilesHost, files_host

from ansible.module_utils.slipway_files import guard, proofs  # isort: skip

__all__ = ["files_host"]

TOKEN = "0123456789abcdef"
# What stands for systemd: the timer runs while a file is there.
SYSTEMD_RUN = (
    '#!/bin/sh\n[ -e {folder}/no-timers ] && {{ echo "no bus" >&2; exit 1; }}\ntouch {folder}/timer\n'
)
SYSTEMCTL = (
    '#!/bin/sh\ncase "$1" in\nstop) rm -f {folder}/timer;;\n'
    "is-active) [ -e {folder}/timer ] && echo active;;\nesac\n"
)


class Guarded:
    """A host of which one file lets the controller in, and what puts it in force."""

    def __init__(self, host: FilesHost, programs: Path) -> None:
        self.host = host
        self.programs = programs
        self.applied = programs / "applied"
        shows = f"[ ! -e {host.path('sshd')} ] || cat {host.path('sshd')} >>{self.applied}"
        self.asked = {"token": TOKEN, "apply": [["sh", "-c", shows]], "below": []}

    def state(self, content: str, **changed: Any) -> dict[str, Any]:
        return self.host.answer(
            self.host.file("sshd", content), guard=self.asked, **{"name": "web", **changed}
        )

    def decide(self, take_back: bool = False, token: str = TOKEN) -> dict[str, Any]:
        return self.host.state(decide={"token": token, "take_back": take_back, "removed": []})

    def time_is_over(self, when: str = "timer") -> None:
        """What the host's timer, or its boot, does; nothing when there is nothing to take back."""
        script = Path(proofs.FOLDER) / "take-back"
        if script.exists():
            subprocess.run(["sh", str(script), when], check=True, stderr=subprocess.DEVNULL)

    @property
    def content(self) -> str:
        path = self.host.path("sshd")
        return path.read_text() if path.exists() else "(none)"


@pytest.fixture
def guarded(files_host: FilesHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guarded:
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
        (tmp_path / name).write_text(text.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    folder = str(files_host.root / "state/guard")
    for module in (guard, proofs):
        monkeypatch.setattr(module, "FOLDER", folder)
    monkeypatch.setattr(guard, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(guard, "UNITS", str(tmp_path / "units"))
    return Guarded(files_host, tmp_path)


def test_what_a_second_login_proves_stays_and_nothing_of_the_guard_is_left(guarded: Guarded) -> None:
    assert guarded.state("new\n")["armed"] == TOKEN
    assert guarded.decide()["stays"]
    guarded.time_is_over()

    assert guarded.content == "new\n"
    assert guarded.applied.read_text() == "new\n"
    assert not (guarded.programs / "timer").exists()
    assert list(guarded.programs.rglob("*-boot*")) == []
    assert [path.name for path in guarded.host.root.rglob("*before*")] == []
    assert not guarded.state("new\n")["changed"]


def test_a_proof_whose_answer_did_not_arrive_is_told_again_and_is_no_later_change_s(guarded: Guarded) -> None:
    guarded.state("new\n")
    assert guarded.decide()["stays"]
    assert guarded.decide()["stays"]
    guarded.asked["token"] = "another"
    guarded.state("newer\n")
    assert guarded.decide()["stays"]
    guarded.time_is_over()
    assert guarded.content == "new\n"
    assert not guarded.decide(token="another")["stays"]


@pytest.mark.parametrize("when", ["timer", "boot"])
def test_what_nobody_proves_is_given_back_with_its_record_and_told(guarded: Guarded, when: str) -> None:
    guarded.state("old\n")
    guarded.decide()
    record = (guarded.host.root / "state/files/shop/web.json").read_text()
    guarded.host.path("sshd").chmod(0o640)
    guarded.asked["token"] = "later"
    guarded.state("new\n", name="web")
    guarded.time_is_over(when)

    assert guarded.content == "old\n"
    assert stat.S_IMODE(guarded.host.path("sshd").stat().st_mode) == 0o640
    assert (guarded.host.root / "state/files/shop/web.json").read_text() == record
    # After a boot the daemons are yet to start.
    assert guarded.applied.read_text() == ("old\nnew\nold\n" if when == "timer" else "old\nnew\n")
    assert "was taken back at" in proofs.told()
    assert not guarded.decide(token="later")["stays"]
    assert "was taken back at" in str(guarded.state("newer\n")["warnings"])


def test_a_file_that_was_not_there_is_gone_again_and_no_original_of_it_is_kept(guarded: Guarded) -> None:
    guarded.host.path("sshd").write_text("somebody's\n")
    guarded.state("new\n")
    guarded.time_is_over()
    assert guarded.content == "somebody's\n"
    assert not guarded.host.original("sshd").exists()

    guarded.host.path("sshd").unlink()
    guarded.state("new\n")
    guarded.time_is_over()
    assert guarded.content == "(none)"


def test_a_proof_ends_what_is_told_of_an_earlier_change(guarded: Guarded) -> None:
    guarded.state("bad\n")
    guarded.time_is_over()
    guarded.state("good\n")
    guarded.decide()
    assert proofs.told() == ""


def test_another_runs_change_is_refused_while_one_waits_and_its_login_proves_nothing(
    guarded: Guarded,
) -> None:
    guarded.state("first\n")
    said = guarded.state("second\n", name="other")
    assert "waits for its proof" in said["msg"]
    assert "Nothing of the set other was changed" in said["msg"]
    assert not guarded.decide(token="another")["stays"]
    guarded.time_is_over()
    assert guarded.content == "(none)"


def test_a_timer_that_died_does_not_keep_every_later_run_out(guarded: Guarded) -> None:
    guarded.state("first\n")
    (guarded.programs / "timer").unlink()
    assert guarded.state("second\n")["armed"]
    guarded.decide()
    assert guarded.content == "second\n"


def test_without_a_timer_nothing_is_changed(guarded: Guarded) -> None:
    (guarded.programs / "no-timers").touch()
    said = guarded.state("new\n")["msg"]
    assert "could not be guarded: systemd-run starts no timer (no bus)" in said
    assert guarded.content == "(none)"
    assert proofs.armed() is None
    (guarded.programs / "no-timers").unlink()
    assert guarded.state("new\n")["armed"]


def test_what_cannot_be_put_in_force_is_given_back_at_once(guarded: Guarded) -> None:
    guarded.asked["apply"] = [["sh", "-c", "echo no such port; exit 3"]]
    said = guarded.state("new\n")["msg"]
    assert "status 3: no such port" in said
    assert "was given back" in said
    assert guarded.content == "(none)"


def test_what_lets_nobody_in_is_not_guarded(guarded: Guarded) -> None:
    guarded.asked["below"] = [str(guarded.host.path("elsewhere"))]
    assert guarded.state("new\n")["armed"] == ""
    assert proofs.armed() is None


def test_a_check_arms_nothing(guarded: Guarded) -> None:
    assert guarded.host.answer(guarded.host.file("sshd", "new\n"), guard=guarded.asked, check=True)["changed"]
    assert not Path(proofs.FOLDER).exists()


@pytest.mark.parametrize("operations", range(26))
def test_a_run_killed_anywhere_leaves_the_old_state_when_the_time_is_over(
    guarded: Guarded, operations: int
) -> None:
    guarded.state("old\n")
    guarded.decide()
    lived = guarded.host.die_after(operations, guarded.host.file("sshd", "new\n"), guard=guarded.asked)
    before = guarded.content
    assert before in ("old\n", "new\n")
    assert before == "old\n" or proofs.armed()
    guarded.time_is_over()

    assert guarded.content == "old\n"
    assert json.loads((guarded.host.root / "state/files/shop/web.json").read_text())["pending"] is False
    assert not lived or before == "new\n"
    assert guarded.state("newer\n")["armed"]
    assert guarded.decide()["stays"]
    assert guarded.content == "newer\n"
