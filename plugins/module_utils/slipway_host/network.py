"""The addresses of a host, and who listens on them."""

from __future__ import annotations

import glob
import ipaddress
import json
import os
import re
import shutil
import socket
from typing import Any

from ansible.module_utils.slipway_host.programs import said

PROCESS = re.compile(r'\("(?P<program>[^"]*)",pid=(?P<pid>\d+)')
UNIT = re.compile(r"/([^/]+\.(?:service|socket|scope))(?:/|$)")
# Documentation's own networks (RFC 5737, RFC 3849): whatever has a way there has the default route.
ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def facts() -> dict[str, Any]:
    """Addresses under the names Ansible's own facts have, has_ipv6 (whether the kernel speaks it), and listeners."""
    found = addresses()
    return {
        "all_ipv4_addresses": [one for one in found if ":" not in one],
        "all_ipv6_addresses": [one for one in found if ":" in one],
        "default_ipv4": {"address": towards_default(socket.AF_INET)},
        "default_ipv6": {"address": towards_default(socket.AF_INET6)},
        "has_ipv6": has_ipv6(),
        "listeners": listeners(),
        "firewall_foreign": foreign_firewall(),
        "firewall_opened": opened(),
    }


def foreign_firewall() -> str:
    """ufw or firewalld where one of them filters; empty otherwise."""
    if re.search(r"^ENABLED=yes", _text("/etc/ufw/ufw.conf"), re.MULTILINE):
        return "ufw"
    return "firewalld" if os.path.exists("/run/firewalld.pid") else ""


def opened() -> list[int]:
    """TCP ports that Slipway's firewall lets in for some service of the host."""
    rules = "".join(_text(path) for path in glob.glob("/etc/slipway/*/firewall.nft"))
    return sorted({int(port) for port in re.findall(r"tcp dport (\d+) accept", rules)})


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def addresses() -> list[str]:
    """The host's own addresses but those of the loopback."""
    try:
        rows = [
            row
            for link in json.loads(said("ip", "-json", "address", "show") or "[]")
            for row in link.get("addr_info", [])
        ]
    except ValueError:
        return []
    found = {str(row["local"]) for row in rows if "local" in row}
    return sorted(one for one in found if not ipaddress.ip_address(one).is_loopback)


def towards_default(family: int) -> str:
    """The address with which the host goes by its default route; empty without one. Nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((ELSEWHERE[socket.AddressFamily(family)], 9))
            return str(asking.getsockname()[0])
    except OSError:
        return ""


def has_ipv6() -> bool:
    """Whether a program of this host may listen on [::]: neither the kernel nor a sandbox denies it."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def listeners() -> list[dict[str, Any]] | None:
    """Each TCP listener's address, port, program, pid and unit; pid 0 and no program where the kernel names nobody.

    None where there is no ss to ask.
    """
    if shutil.which("ss") is None:
        return None
    rows = [line.split(None, 5) for line in said("ss", "-Hltnp").splitlines()]
    return [_listener(row[3], row[5] if len(row) > 5 else "") for row in rows if len(row) > 4]


def _listener(local: str, users: str) -> dict[str, Any]:
    address, _, port = local.rpartition(":")
    # The first process of a program that forks has the lowest number, but where numbers began anew.
    held_by = sorted((int(found["pid"]), found["program"]) for found in PROCESS.finditer(users))
    pid, program = held_by[0] if held_by else (0, "")
    address = address.partition("%")[0].strip("[]")
    return {"address": address, "port": int(port), "program": program, "pid": pid, "unit": unit_of(pid)}


def unit_of(pid: int) -> str:
    """The unit that a process belongs to, by its control group; empty when none is known."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as stream:
            found = UNIT.findall(stream.read())
    except OSError:
        return ""
    return str(found[-1]) if found else ""
