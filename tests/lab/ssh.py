"""How the controller reaches a host: its key pair, the hosts' keys, and one ssh command line."""

import base64
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.commands import run

SSH_PORT = 22


@dataclass(frozen=True)
class Login:
    """Who comes in with the controller's key, and by which way.

    user: root, or somebody who may do all with sudo. password: what sudo asks them for, "" when it does not ask.
    port: sshd's. jump: user@address of the host that alone may connect to sshd, "" when everybody may.
    """

    user: str = "root"
    password: str = ""
    port: int = SSH_PORT
    jump: str = ""


@dataclass(frozen=True)
class Access:
    """SSH to the hosts of one checkout: keys in its .lab/ssh, shared connections in the control folder."""

    folder: Path
    control: Path
    login: Login = Login()

    @property
    def key(self) -> Path:
        """The controller's private key."""
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The public keys of every host of this checkout."""
        return self.folder / "known_hosts"

    def ensure_key(self) -> None:
        """Make the controller's key pair when there is none."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.key.exists():
            make_key(self.key, "slipway-lab-controller")

    def write_known_hosts(self, keys: Iterable[tuple[str, str, str]]) -> None:
        """Write known_hosts from (name, address, public key), whole or not at all."""
        lines = [f"{name},{address} {key}\n" for name, address, key in sorted(keys)]
        partial = self.known_hosts.with_suffix(".partial")
        partial.write_text("".join(lines))
        partial.rename(self.known_hosts)

    def command(self, address: str, *options: str, user: str | None = None) -> list[str]:
        """Return the ssh command line for a host; what it should run there, as that user, comes after."""
        shared = {
            "Port": str(self.login.port),
            "ControlMaster": "auto",
            "ControlPersist": "60",
            "ControlPath": f"{self.control}/%r@%h",
        }
        if self.login.jump:
            shared["ProxyCommand"] = shlex.join([*self.client(), "-W", "%h:%p", self.login.jump])
        return [*self.client(shared), *options, f"{user or self.login.user}@{address}"]

    def client(self, further: Mapping[str, str] | None = None) -> list[str]:
        """Return ssh with the settings of every connection, and further ones."""
        settings = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityFile": f'"{self.key}"',
            "UserKnownHostsFile": f'"{self.known_hosts}"',
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": "5",
            "LogLevel": "ERROR",
            **(further or {}),
        }
        return [
            "ssh",
            "-F",
            "none",
            *(part for name, value in settings.items() for part in ("-o", f"{name}={value}")),
        ]

    def root_command(self, address: str, command: str) -> list[str]:
        """Return the ssh command line that runs a shell command on a host as root."""
        return [*self.command(address), self.as_root(command)]

    def as_root(self, command: str) -> str:
        """Return what the login's shell has to run so that root's runs a command, in root's own folder."""
        if self.login.user == "root":
            return command
        # As at a console: nothing says who came by sudo.
        unset = " ".join(f"--unset=SUDO_{name}" for name in ("USER", "UID", "GID", "COMMAND"))
        # sudo writes each command into the host's logs, where a test may look for the words that it has.
        script = base64.b64encode(f"cd; {command}".encode()).decode()
        shell = f"""bash -c 'eval "$(base64 --decode <<< {script})"'"""
        as_root = f"sudo --non-interactive --set-home -- env {unset} {shell}"
        if not self.login.password:
            return as_root
        # sudo remembers it for what this shell starts: the shell stays, and the command has its input for itself.
        return (
            f"sudo --stdin --validate --prompt= <<< {shlex.quote(self.login.password)} && {as_root}; exit $?"
        )

    def run(
        self, address: str, command: str, stdin: str | None, timeout: float | None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a shell command on a host as root; raise subprocess.TimeoutExpired after timeout seconds."""
        return subprocess.run(
            self.root_command(address, command),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )

    def answers(self, address: str, seconds: float, running: Callable[[], bool]) -> bool:
        """Wait until a host lets root in; return whether it did before the time was over or it stopped running."""
        deadline = time.monotonic() + seconds
        while running() and time.monotonic() < deadline:
            if listens(address, self.login.port) and self.logs_in(address):
                return True
            time.sleep(0.02)
        return False

    def logs_in(self, address: str) -> bool:
        """Say whether a login works now, with the right host key, on a host that is not shutting down."""
        probe = 'test "$(systemctl is-system-running)" != stopping'
        attempt = subprocess.run(
            [*self.command(address), probe], stdin=subprocess.DEVNULL, capture_output=True
        )
        return attempt.returncode == 0

    def disconnect(self, address: str) -> None:
        """End the shared connections to a host, which would hang once it is down."""
        for connection in self.control.glob(f"*@{address}"):
            subprocess.run(
                ["ssh", "-F", "none", "-o", f"ControlPath={connection}", "-O", "exit", address],
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
            connection.unlink(missing_ok=True)


def make_key(path: Path, comment: str) -> None:
    """Make an ed25519 key pair at path, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    for leftover in (partial, partial.with_name(partial.name + ".pub")):
        leftover.unlink(missing_ok=True)
    run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", partial],
        purpose=f"make the key {path}",
    )
    os.replace(partial.with_name(partial.name + ".pub"), path.with_name(path.name + ".pub"))
    os.replace(partial, path)


def known_as(address: str, port: int) -> str:
    """Return how known_hosts names a host that is reached at an address and port."""
    return address if port == SSH_PORT else f"[{address}]:{port}"


def listens(address: str, port: int) -> bool:
    """Say whether something accepts connections on a port of the host."""
    with suppress(OSError), socket.create_connection((address, port), timeout=0.2):
        return True
    return False
