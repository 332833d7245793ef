"""Which system a host runs, on what: under the names Ansible's own facts have."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import Any


def facts() -> dict[str, Any]:
    """distribution, its versions, architecture, nodename, memory (MiB), processors, virtualisation and Python."""
    release = os_release()
    version = release.get("VERSION_ID", "")
    kernel = os.uname()
    return {
        "distribution": release.get("NAME", "").removesuffix(" GNU/Linux"),
        "distribution_version": version,
        "distribution_major_version": version.split(".")[0],
        "architecture": kernel.machine,
        "nodename": kernel.nodename,
        "memtotal_mb": memory(),
        "processor_vcpus": len(os.sched_getaffinity(0)),
        "virtualization_type": virtualization(),
        "python": {"version": {"major": sys.version_info.major, "minor": sys.version_info.minor}},
    }


def os_release(path: str = "/etc/os-release") -> dict[str, str]:
    """The file's assignments; an empty dictionary where there is no such file."""
    try:
        with open(path, encoding="utf-8") as stream:
            rows = [line.rstrip("\n").partition("=") for line in stream if "=" in line and line[0] != "#"]
    except FileNotFoundError:
        return {}
    return {name: "".join(shlex.split(value)) for name, _, value in rows}


def memory(path: str = "/proc/meminfo") -> int:
    """The host's memory in MiB."""
    with open(path, encoding="utf-8") as stream:
        total = next(line for line in stream if line.startswith("MemTotal:"))
    return int(total.split()[1]) // 1024


def virtualization() -> str:
    """`container` in one of any kind, `kvm` and so on in a machine, `none` on bare metal or where nobody can say."""
    for kind in ("--container", "--vm"):
        try:
            found = subprocess.run(["systemd-detect-virt", kind], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "none"
        if found.returncode == 0:
            return "container" if kind == "--container" else found.stdout.strip()
    return "none"
