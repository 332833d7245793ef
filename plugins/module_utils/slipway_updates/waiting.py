"""What apt would install, what it keeps back, and what waits for a reboot."""

from __future__ import annotations

import os
import platform
import re
import subprocess

INSTALLS = re.compile(
    r"^Inst (?P<name>\S+)(?: \[(?P<before>[^\]]*)\])? \((?P<after>\S+) (?P<origin>.*?) ?\[[a-z0-9]+\]\)"
)
KEPT_BACK = "The following packages have been kept back:"
REBOOT = "/var/run/reboot-required"
UPGRADE = ("upgrade", "--with-new-pkgs")


class AptError(Exception):
    """apt refused or failed; what it said."""


def run(*command: str, patience: int = 120) -> str:
    """A program's standard output, in plain English. Raises AptError with the end of what it said."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=patience,
            env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise AptError(f"{command[0]} did not end within {patience} s") from None
    if done.returncode:
        raise AptError((done.stderr.strip() or done.stdout.strip())[-1500:])
    return done.stdout


def refresh(lock_timeout: int) -> None:
    """Fetch the package lists; where a mirror does not answer, no old list is taken for a new one."""
    options = (f"-oDPkg::Lock::Timeout={lock_timeout}", "-oAPT::Update::Error-Mode=any")
    run("apt-get", "--quiet", *options, "update", patience=600)


def updates(simulated: str) -> list[dict[str, str]]:
    """{name, before, after, origin} of each package that a simulation would install; before is "" for a new one."""
    rows = [INSTALLS.match(line) for line in simulated.splitlines()]
    return [{name: value or "" for name, value in row.groupdict().items()} for row in rows if row]


def kept_back(simulated: str) -> list[str]:
    """The names that a simulation keeps back: held by somebody, or in need of what is not there."""
    lines = iter(simulated.splitlines())
    for line in lines:
        if line == KEPT_BACK:
            names: list[str] = []
            for row in lines:
                if not row.startswith(" "):
                    break
                names += row.split()
            return sorted(names)
    return []


def simulated(*words: str) -> str:
    """What apt says it would do; it takes no lock and changes nothing."""
    return run("apt-get", "--simulate", "--quiet", *(words or UPGRADE))


def bytes_to_fetch(names: list[str]) -> int:
    """The size of the packages that would be fetched."""
    if not names:
        return 0
    listed = run(
        "apt-get", "--print-uris", "--quiet", "--quiet", "--yes", "install", "--only-upgrade", *names
    )
    rows = [line.split() for line in listed.splitlines() if line.startswith("'")]
    return sum(int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit())


def reboot(path: str = REBOOT) -> list[str]:
    """For which packages a reboot is asked for; empty where none is."""
    if not os.path.exists(path):
        return []
    try:
        with open(f"{path}.pkgs", encoding="utf-8") as stream:
            return sorted(set(stream.read().split())) or ["a package that does not say"]
    except FileNotFoundError:
        return ["a package that does not say"]


def other_kernel(folder: str = "/boot") -> str:
    """The newest kernel that is installed, where another one runs; "" in a container, which has none of its own."""
    if subprocess.run(["systemd-detect-virt", "--container", "--quiet"], check=False).returncode == 0:
        return ""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    kernels = [name.partition("-")[2] for name in names if name.startswith("vmlinuz-")]
    newest = max(kernels, key=lambda name: [int(part) for part in re.findall(r"\d+", name)], default="")
    return newest if newest != platform.release() else ""
