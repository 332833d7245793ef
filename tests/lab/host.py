"""One host: made from the image, booted, stopped, crashed, kept as a snapshot and put back."""

import ipaddress
import shutil
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cgroups, commands, layers, process, seed
from tests.lab.errors import LabError
from tests.lab.registry import RecordedHost
from tests.lab.site import Site

# Seconds: a host answers after one or two, a clean stop waits for the slowest service on it.
BOOT_PATIENCE, STOP_PATIENCE = 60, 120


@dataclass(frozen=True)
class Host:
    """A host of the lab, running or not, or not made yet."""

    name: str
    address: str
    site: Site

    @property
    def folder(self) -> Path:
        """Everything of the host: its files, its snapshots, its console."""
        return self.site.hosts / self.name

    @property
    def machine(self) -> str:
        """Its name among all hosts of this machine, which also fits the name of a network interface."""
        return f"lab-{int(ipaddress.ip_address(self.address)):08x}"

    @property
    def made(self) -> bool:
        """Whether the host has files."""
        return (self.folder / "host.json").exists()

    def running(self) -> RecordedHost | None:
        """Return the host's record when it runs."""
        found = self.site.registry.running_at(self.address)
        return found if found and found.inventory == self.site.inventory else None

    def run(
        self, command: str, *, stdin: str | None = None, timeout: float | None = 600, check: bool = False
    ) -> "subprocess.CompletedProcess[str]":
        """Run a shell command on the host as root and return what came of it.

        A command that takes longer than timeout (seconds) is a LabError; with check, so is a status other than 0.
        """
        try:
            completed = self.site.access.run(self.address, command, stdin, timeout)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"On {self.name}, {command!r} has not ended after {timeout} s.") from error
        if check and completed.returncode != 0:
            raise LabError(
                f"On {self.name}, {command!r} ended with status {completed.returncode}.\n"
                f"stdout:\n{completed.stdout}\nstderr:\n{completed.stderr}"
            )
        return completed

    def up(self) -> bool:
        """Boot the host, made first when it has no files; wait until it answers; return whether it was down."""
        booted = False
        with self.locked() as lock:
            # A host that runs may be on its way down: it is booted when it has arrived there.
            while not self.answers():
                if booted or self.running():
                    raise self.silence()
                self.boot(lock)
                booted = True
        return booted

    def down(self) -> None:
        """Crash the host when it runs and delete everything of it, its snapshots too."""
        with self.locked():
            self.crash()
            # First, so that a host which is half deleted does not count as made.
            (self.folder / "host.json").unlink(missing_ok=True)
            if self.folder.exists():
                shutil.rmtree(self.folder)

    def kill(self) -> None:
        """Crash the host as if its kernel had died: every process on it ends at once, its files stay."""
        with self.locked():
            self.require_running()
            self.crash()

    def reboot(self) -> None:
        """Reboot the host from within and wait until it answers again."""
        with self.locked():
            before = self.require_running().nspawn()
            asked = self.run("systemctl reboot", timeout=30)
            # A host that reboots at once cuts the connection, which is status 255.
            if asked.returncode not in (0, 255):
                raise LabError(f"{self.name} refused to reboot: {asked.stderr.strip()}; it still runs.")
            if before and not process.wait(before, STOP_PATIENCE):
                raise self.silence()
            self.site.access.disconnect(self.address)
        self.await_ssh()

    def snapshot(self, name: str) -> None:
        """Keep the host's files under a name. A running host is stopped cleanly first and booted after."""
        layers.check_name(name)
        with self.locked() as lock:
            self.require_made()
            was_running = self.running() is not None
            self.stop()
            kept = self.folder / "snapshots" / name
            kept.parent.mkdir(exist_ok=True)
            layers.copy_files(self.folder / "upper", partial := kept.with_name(f"{name}.partial"))
            layers.replace_folder(partial, kept)
            if was_running:
                self.boot(lock)
        if was_running:
            self.await_ssh()

    def restore(self, name: str) -> None:
        """Put the files of a snapshot back and boot the host; what it was doing is cut off."""
        layers.check_name(name)
        kept = self.folder / "snapshots" / name
        if not kept.is_dir():
            raise LabError(
                f"{self.name} has no snapshot {name!r} (it has: {', '.join(self.snapshots()) or 'none'}); "
                f"nothing was changed. To make it type: python -m tests.lab snapshot {self.name} {name}"
            )
        with self.locked() as lock:
            self.require_made()
            self.crash()
            layers.copy_files(kept, partial := self.folder / "upper.partial")
            layers.replace_folder(partial, self.folder / "upper")
            self.boot(lock)
        self.await_ssh()

    def snapshots(self) -> list[str]:
        """Return the names of the host's snapshots."""
        return layers.names(self.folder / "snapshots")

    def console_tail(self, lines: int = 20) -> str:
        """Return the last lines that the host wrote to its console."""
        return process.tail(self.folder / "console.log", lines)

    def locked(self) -> AbstractContextManager[int]:
        """Hold the host's lock: one lab command at a time changes it."""
        return self.site.registry.lock(f"host-{self.address}")

    def boot(self, lock: int) -> None:
        """Start the host's supervisor, which boots it; make its files first when it has none."""
        registry = self.site.registry
        registry.refuse_strangers(self.address, self.site.inventory)
        with registry.lock(self.site.network.bridge):
            self.site.ready()
            if not self.made:
                shutil.rmtree(self.folder, ignore_errors=True)
                seed.make(self.folder, self.name, self.address, self.site)
            layers.settle_folder(self.folder / "upper")
            layers.require_image(self.folder)
            self.site.write_known_hosts()
            self.site.access.disconnect(self.address)
            if own := self.site.own.get(self.name):
                self.site.network.translate(self.machine, self.address, own)
            process.start(
                [
                    *commands.OWN_MOUNTS, sys.executable, "-m", "tests.lab.supervisor",
                    self.machine, str(self.folder), self.site.network.bridge,
                ],
                record=registry.record(self.address),
                about={
                    "name": self.name,
                    "address": self.address,
                    "machine": self.machine,
                    "bridge": self.site.network.bridge,
                    "inventory": str(self.site.inventory),
                },
                log=self.folder / "supervisor.log",
                hold=[lock],
            )  # fmt: skip

    def stop(self) -> None:
        """Power the host off cleanly when it runs."""
        running = self.running()
        if running is None:
            return
        process.send(running.supervisor, signal.SIGTERM)
        if not process.wait(running.supervisor, STOP_PATIENCE):
            console = self.console_tail()
            self.crash()
            raise LabError(
                f"{self.name} did not power off within {STOP_PATIENCE} s and was crashed; nothing was copied. "
                f"Its console ended with\n{console}\nTo boot it again type: python -m tests.lab up"
            )
        self.crash()

    def crash(self) -> None:
        """Kill the host when it runs, and clear what it had of this machine; leave another lab's host alone."""
        running = self.site.registry.running_at(self.address)
        if running and running.inventory != self.site.inventory:
            return
        if running:
            root = running.nspawn()
            process.send(root or running.supervisor, signal.SIGKILL)
            # The supervisor ends by itself when its host has; the namespace is empty when its first process is gone.
            if not process.wait(running.supervisor, 5):
                process.end(running.supervisor, seconds=0)
            if root:
                process.wait(root, 10)
        self.site.registry.record(self.address).unlink(missing_ok=True)
        self.site.access.disconnect(self.address)
        if self.name in self.site.own:
            self.site.network.end_translation(self.machine)
        cgroups.remove(self.machine)

    def answers(self) -> bool:
        """Wait until the host answers ssh; return whether it did before it stopped or the patience was over."""
        return self.site.access.answers(self.address, BOOT_PATIENCE, lambda: self.running() is not None)

    def await_ssh(self) -> None:
        """Wait until the host answers ssh; raise LabError with the end of its console when it does not."""
        if not self.answers():
            raise self.silence()

    def silence(self) -> LabError:
        """Return the error for a host that does not answer."""
        state = "still runs" if self.running() else "has stopped"
        return LabError(
            f"{self.name} does not answer ssh on {self.address} and {state}. "
            f"Its console {self.folder / 'console.log'} ends with\n{self.console_tail()}\n"
            f"and the log of its supervisor with\n{process.tail(self.folder / 'supervisor.log')}\n"
            f"To crash it type: python -m tests.lab kill {self.name}. To start over: down, then up."
        )

    def require_running(self) -> RecordedHost:
        """Return the host's record; raise LabError when it does not run."""
        running = self.running()
        if running is None:
            raise LabError(
                f"{self.name} does not run; nothing was changed. To boot it type: python -m tests.lab up"
            )
        return running

    def require_made(self) -> None:
        """Raise LabError when the host has no files."""
        if not self.made:
            raise LabError(f"{self.name} was never booted; nothing was changed. Type: python -m tests.lab up")
