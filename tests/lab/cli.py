"""The command line: python -m tests.lab COMMAND, run from the checkout."""

import argparse
import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab import archive, commands, made, postgresql, variants
from tests.lab.errors import LabError
from tests.lab.lab import Lab


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    main = argparse.ArgumentParser(
        prog="python -m tests.lab", description="Real hosts for tests, from an inventory."
    )
    choices = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, about: str, *, inventory: bool = True) -> argparse.ArgumentParser:
        sub = choices.add_parser(name, help=about, description=about)
        if inventory:
            sub.add_argument("--inventory", type=Path, default=Path("inventory/lab"), metavar="FOLDER")
        return sub

    start = command("up", "Boot hosts and wait until they answer ssh.")
    start.add_argument("hosts", nargs="*", metavar="HOST")
    start.add_argument(
        "--variant", action="append", default=[], choices=variants.names(), help="what new hosts come with"
    )
    start.add_argument("--address-of", metavar="NAME", help="print one address, and the rest on stderr")
    command("down", "Crash hosts and delete all of them.").add_argument("hosts", nargs="*", metavar="HOST")
    command("list", "Show the inventory's hosts and whether they run.")
    command("address", "Print the address of a host, or of a group's first.").add_argument(
        "name", metavar="NAME"
    )
    ssh = command("ssh", "Log in to a host, or run a command on it.")
    ssh.add_argument("host", metavar="HOST")
    ssh.add_argument("argv", nargs="*", metavar="CMD")
    for name, about in (
        ("snapshot", "Keep a host's files."),
        ("restore", "Put kept files back and boot the host."),
    ):
        sub = command(name, about)
        sub.add_argument("host", metavar="HOST")
        sub.add_argument("name", metavar="NAME")
    for name, about in (("kill", "Crash a host; its files stay."), ("reboot", "Reboot a host from within.")):
        command(name, about).add_argument("host", metavar="HOST")
    command("image", "Build what hosts are made from; print the image's hash and folder.")
    packages = command(
        "packages",
        "Build PostgreSQL 14 for the hosts, or unpack a later one; print the folder of its programs.",
        inventory=False,
    )
    packages.add_argument("--version", choices=tuple(postgresql.BINARIES), default=archive.VERSION)
    packages.add_argument("--bin", action="store_true", help="print nothing but the folder")
    packages.add_argument("--source", action="store_true", help="print version 14 as a line of apt's sources")
    command("redis", "Unpack Debian's redis-server; print the program.", inventory=False)
    command("compose", "Unpack Debian 13's docker-compose; print the program.", inventory=False)
    command("sources", "Print where this machine gets Debian from, as lines of apt's.", inventory=False)
    packed = command("install", "Install the Debian packages that the lab needs.", inventory=False)
    packed.add_argument("--tests", action="store_true", help="and what the tests run beside it")
    packed.add_argument("--containers", action="store_true", help="and what runs images")
    return main


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0, or 1 after a sentence on what failed."""
    arguments = parser().parse_args(argv)
    try:
        return COMMANDS[arguments.command](arguments)
    except LabError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"The disk is full: {error.filename or 'a file of the lab'} could not be written. Nothing half-made is "
            "used; free some room (df -h shows where) and type the command again.",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print(
            "Interrupted. Type the same command again to go on, or: python -m tests.lab down", file=sys.stderr
        )
    return 1


def up(arguments: argparse.Namespace) -> int:
    """Boot hosts."""
    lab = Lab(arguments.inventory, arguments.variant)
    asked = arguments.address_of and lab.address(arguments.address_of)
    began = time.monotonic()
    booted = lab.up(arguments.hosts)
    said = [f"{host.name} answers on {host.address}." for host in booted]
    said += [f"Up after {time.monotonic() - began:.1f} s."] if booted else ["Nothing to do: every host runs."]
    print("\n".join(said), file=sys.stderr if asked else sys.stdout, flush=True)
    if asked:
        print(asked)
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Delete hosts."""
    Lab(arguments.inventory).down(arguments.hosts)
    print("Down.")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """List hosts."""
    for host in Lab(arguments.inventory).hosts.values():
        state = "running" if host.running() else "stopped" if host.made else "absent"
        print(f"{host.name:<20} {host.address:<15} {state:<8} {' '.join(host.snapshots())}".rstrip())
    return 0


def ssh(arguments: argparse.Namespace) -> int:
    """Become ssh."""
    host = Lab(arguments.inventory).host(arguments.host)
    host.require_running()
    access, wish = host.site.access, " ".join(arguments.argv)
    tail = (
        [access.as_root(wish)]
        if wish
        else [access.as_root("exec bash --login")]
        if access.login.user != "root"
        else []
    )
    options = ["-t"] if not wish and sys.stdin.isatty() else []
    sys.stdout.flush()
    command = access.command(host.address, *options)
    os.execvp(command[0], [*command, *tail])


def snapshot(arguments: argparse.Namespace) -> int:
    """Keep a host's files."""
    began = time.monotonic()
    Lab(arguments.inventory).host(arguments.host).snapshot(arguments.name)
    print(f"Kept {arguments.host} as {arguments.name} after {time.monotonic() - began:.1f} s.")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    """Put kept files back."""
    began = time.monotonic()
    Lab(arguments.inventory).host(arguments.host).restore(arguments.name)
    print(f"Restored {arguments.host} from {arguments.name} after {time.monotonic() - began:.1f} s.")
    return 0


def kill(arguments: argparse.Namespace) -> int:
    """Crash a host."""
    Lab(arguments.inventory).host(arguments.host).kill()
    print(f"{arguments.host} has crashed. To boot it with the files it had type: python -m tests.lab up")
    return 0


def reboot(arguments: argparse.Namespace) -> int:
    """Reboot a host."""
    began = time.monotonic()
    Lab(arguments.inventory).host(arguments.host).reboot()
    print(f"{arguments.host} answers again after {time.monotonic() - began:.1f} s.")
    return 0


def address(arguments: argparse.Namespace) -> int:
    """Print an address."""
    print(Lab(arguments.inventory).address(arguments.name))
    return 0


def install(arguments: argparse.Namespace) -> int:
    """Install what is missing."""
    needed = {**commands.DEBIAN_PACKAGES, **(commands.CONTAINER_PACKAGES if arguments.containers else {})}
    absent = sorted({needed[need] for need in commands.missing(needed)})
    welcome = commands.WELCOME_PACKAGES if arguments.tests else {}
    wanted = sorted({welcome[need] for need in commands.missing(welcome)})
    if not absent and not wanted:
        print("Nothing to do: this machine has every program the lab needs.")
        return 0
    line = ["apt-get", "install", "--yes", "--no-install-recommends", *absent]
    if os.geteuid() != 0 or commands.missing(["apt-get"]):
        raise LabError(
            "Only root on a machine with apt can install what the lab needs; nothing was changed. "
            f"Have this done: {' '.join(line)}"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    update(environment)
    line += [package for package in wanted if has_candidate(package)]
    if subprocess.run(line, env=environment).returncode != 0:
        raise LabError(f"{' '.join(line)} failed, see above; what it did before that stays. Type it again.")
    return 0


def update(environment: dict[str, str]) -> None:
    """Fetch the package lists."""
    if subprocess.run(["apt-get", "update"], env=environment).returncode != 0:
        raise LabError("apt-get update failed, see above; nothing was installed. Type it again.")


def has_candidate(package: str) -> bool:
    """Whether this machine's archive has the package itself."""
    said = subprocess.run(
        ["apt-cache", "policy", package], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
    )
    return bool(re.search(r"Candidate: (?!\(none\))", said.stdout))


COMMANDS = {
    "up": up,
    "down": down,
    "list": show,
    "address": address,
    "ssh": ssh,
    "snapshot": snapshot,
    "restore": restore,
    "kill": kill,
    "reboot": reboot,
    "image": made.build_image,
    "packages": made.packages,
    "redis": made.redis_server,
    "compose": made.compose_program,
    "sources": made.sources,
    "install": install,
}
