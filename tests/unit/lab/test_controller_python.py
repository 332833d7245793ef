"""The controller's Python is found, or brought, or missed with a sentence that says what to type."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.plugins.ansible_run import REPOSITORY

TOOLS = ("bash", "dirname", "id", "cat", "mkdir", "env")


class Machine:
    """A machine with a few programs, each of which notes how it was called."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.calls = root / "calls"
        self.bin.mkdir()
        self.calls.touch()
        (root / "requirements").mkdir()
        self.script = root / "requirements/make-venv"
        self.script.write_bytes((REPOSITORY / "requirements/make-venv").read_bytes())
        self.script.chmod(0o755)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(
                next(Path(folder) / tool for folder in ("/usr/bin", "/bin") if (Path(folder) / tool).exists())
            )

    def program(self, name: str, script: str = "") -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> {self.calls}\n{script}\n')
        path.chmod(0o755)

    def python(self, name: str, fits: bool = True) -> None:
        """A Python that fits or does not, whose venv has a pip."""
        made = (
            f"mkdir -p .venv/bin; printf '#!/bin/bash\\n' > .venv/bin/pip; {self.bin}/chmod +x .venv/bin/pip"
        )
        self.program("chmod", '/bin/chmod "$@"')
        self.program(name, f"case $1 in -c) exit {0 if fits else 1};; -m) {made};; esac")

    def made(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", self.script],
            env={"PATH": str(self.bin)},
            capture_output=True,
            text=True,
            check=False,
        )

    def said(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_python_that_will_do_is_taken_and_nothing_installed(machine: Machine) -> None:
    machine.python("python3.12", fits=False)
    machine.python("python3", fits=True)
    machine.program("apt-get")

    done = machine.made()

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "python3 -m venv --clear .venv" in machine.said()
    assert not any(call.startswith("apt-get") for call in machine.said())


def brings(machine: Machine, installer: str, name: str) -> None:
    """Make an installer after whose `install` there is a Python of that name, and whose `find` says where."""
    machine.python(name)
    hidden, shown = machine.root / name, machine.bin / name
    shown.rename(hidden)
    machine.program(
        installer, f"case $* in *find*) echo {shown};; *install*) /bin/cp {hidden} {shown};; esac"
    )


def test_on_a_stock_ubuntu_it_comes_from_the_archive_and_that_is_said(machine: Machine) -> None:
    machine.python("python3", fits=False)
    brings(machine, "apt-get", "python3.11")
    machine.program("apt-cache", '[ "$2" = python3.11-venv ]')
    machine.program("sudo", '"$@"')

    done = machine.made()

    assert done.returncode == 0, done.stderr
    assert "installing python3.11 and python3.11-venv from this system's archive" in done.stdout
    assert "python3.11 -m venv --clear .venv" in machine.said()


def test_where_uv_is_it_brings_one(machine: Machine) -> None:
    machine.python("python3", fits=False)
    brings(machine, "uv", "python3.12")

    done = machine.made()

    assert done.returncode == 0, done.stderr
    assert "uv brings one" in done.stdout
    assert "uv python install --quiet 3.12" in machine.said()


def test_without_any_it_says_what_to_type(machine: Machine) -> None:
    machine.python("python3", fits=False)

    done = machine.made()

    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "add-apt-repository universe" in done.stderr
    assert not (machine.root / ".venv").exists() or os.listdir(machine.root / ".venv") == []
