"""Asking a host what is on it, and waiting for what takes a moment."""

import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.lab import process
from tests.lab.host import Host

ON_HOST = Path(__file__).parent / "on_host"
Found = TypeVar("Found")
# What Ubuntu comes with for the host itself: its resolver, and chrony's port of commands.
COMES_WITH = {("127.0.0.53", "53"), ("127.0.0.1", "323"), ("[::1]", "323")}


def first_process(host: Host) -> process.Identity:
    """Return the host's systemd, as this machine knows it."""
    found = host.require_running().nspawn()
    while found:
        if Path(f"/proc/{found.pid}/comm").read_text().strip() == "systemd":
            return found
        found = next(iter(process.children(found)), None)
    raise AssertionError(f"{host.name} is on its way up or down: it has no systemd")


def output(host: Host, command: str, *, stdin: str | None = None) -> str:
    """Return what a shell command, run as root, writes to its standard output; raise LabError when it fails."""
    return host.run(f"cd / && {command}", stdin=stdin, check=True).stdout.strip()


def refused(host: Host, command: str) -> str:
    """Return what a shell command, run as root, says when it fails; it has to fail."""
    done = host.run(f"cd / && {command}")
    assert done.returncode != 0, f"on {host.name}, {command!r} worked and wrote\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def python(host: Host, script: str, *, interpreter: str = "python3", **arguments: Any) -> Any:
    """Run tests/e2e/on_host/<script> on a host, as root, with arguments; return the JSON it wrote."""
    command = f"{interpreter} - {shlex.quote(json.dumps(arguments))}"
    return json.loads(output(host, command, stdin=(ON_HOST / script).read_text()))


def sql(host: Host, statement: str, *, database: str = "shop", user: str = "postgres") -> str:
    """Run SQL as an operating system user, who is known to PostgreSQL by it; return unaligned rows."""
    program = f"psql --no-psqlrc --tuples-only --no-align --quiet --set=ON_ERROR_STOP=1 --dbname={database}"
    runner = f"{program} --username=slipway_ops" if user == "root" else f"runuser --user={user} -- {program}"
    return output(host, runner, stdin=statement)


def made(host: Host) -> None:
    """Wait until a host's first boot has ended: cloud-init, where there is one, and the upgrades that follow it."""
    output(host, "! command -v cloud-init >/dev/null || cloud-init status --wait >/dev/null || test $? = 2")
    output(host, "while systemctl is-active apt-daily-upgrade.service | grep -q activating; do sleep 1; done")


def live_release(host: Host) -> str:
    """Return the id of the release that is live on a host."""
    return output(host, "basename $(readlink /srv/shop/current)")


def live_unit(host: Host) -> str:
    """Return the unit of the release that is live on a host."""
    return f"shop@{live_release(host)}.service"


def journal(host: Host, *units: str, lines: int = 30) -> str:
    """Return the last lines of the journal, of these units or of all."""
    chosen = " ".join(f"--unit='{unit}'" for unit in units)
    return host.run(f"journalctl --no-pager --lines={lines} {chosen}").stdout


def listening(host: Host, protocol: str) -> set[tuple[str, str]]:
    """Return address and port of all that listens, of tcp or udp, beyond what a host comes with for itself."""
    lines = output(host, f"ss --no-header --listening --numeric --{protocol}").splitlines()
    pairs = (line.split()[3].rpartition(":") for line in lines)
    return {(address.partition("%")[0], port) for address, _, port in pairs} - COMES_WITH


def files(host: Host, *folders: str) -> dict[str, str]:
    """Return every path below folders with its kind, mode, owner, and checksum or target."""
    found: dict[str, str] = python(host, "listing.py", folders=folders)
    return found


def differences(before: dict[str, str], after: dict[str, str]) -> str:
    """Return what differs between two listings of files, a line for each path; nothing when they are equal."""
    paths = sorted(path for path in {**before, **after} if before.get(path) != after.get(path))
    return "\n".join(f"{path}: {before.get(path, 'absent')} -> {after.get(path, 'absent')}" for path in paths)


def until(
    awaited: str, ask: Callable[[], Found], *, seconds: float, show: Callable[[], str] = lambda: ""
) -> Found:
    """Ask until the answer is true, and return it; fail with what was awaited, and what show returns."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"{awaited}: not within {seconds:g} s\n{show()}"
        time.sleep(0.1)
    return answer
