"""The ssh that the database's tools start: one connection, no questions, no unknown host."""

from __future__ import annotations

from pathlib import Path

from fabfile.hosts.app_host import AppHost

CONNECT_SECONDS = 10


def command(host: AppHost, remote_command: str, forward: Path | None = None, remote: str = "") -> list[str]:
    """The words of an ssh that asks nothing, trusts no unknown host, and goes by the bastion if there is one."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{host.known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "ExitOnForwardFailure": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ControlMaster": "no",
        "ControlPath": "none",
        "LogLevel": "ERROR",
    }
    words = ["ssh", "-T", "-p", str(host.port), "-l", host.user]
    if host.key_file:
        words += ["-i", str(host.key_file), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]
    if host.proxy:
        # What ssh would put in the place of %h stands there already.
        options["ProxyCommand"] = host.proxy.replace("%", "%%")
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    if forward:
        words += ["-L", f"{forward}:{remote}"]
    return [*words, "--", host.address, remote_command]
