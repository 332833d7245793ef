"""Keeps one host running: python -m tests.lab.supervisor MACHINE FOLDER BRIDGE, in a mount namespace of its own.

Boots the host, boots it again when it reboots, and ends when it powers off or crashes. The mounts are this
process's own: they are gone when it is, however it ends.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.lab import cgroups, process, snap
from tests.lab.commands import TREE_DIES_WITH_US, run

REBOOT = 133


def mount_root(folder: Path) -> None:
    """Mount the host's root: its own layer over the image. Paths are relative, so no character needs escaping."""
    options = "lowerdir=image,upperdir=upper,workdir=work,index=off,metacopy=off,redirect_dir=on"
    run(
        ["mount", "-t", "overlay", "overlay", "-o", options, "root"],
        purpose="mount the host's root",
        cwd=folder,
    )
    if (folder / "snap").exists():
        snap.mount(folder / "snap", folder / "root")
    # systemd-nspawn leaves a folder there for each host; here it goes away with this process.
    Path("/run/systemd/nspawn").mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "tmpfs", "tmpfs", "/run/systemd/nspawn"], purpose="mount a folder for systemd-nspawn")


def boot(machine: str, folder: Path, bridge: str) -> "subprocess.Popen[bytes]":
    """Start the host, its console going to console.log."""
    with (folder / "console.log").open("ab") as console:
        return subprocess.Popen(
            [
                *TREE_DIES_WITH_US, "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot",
                f"--directory={folder / 'root'}", f"--machine={machine}", f"--network-bridge={bridge}",
                "--resolv-conf=off", "--timezone=off",
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )  # fmt: skip


def clear_interface(machine: str) -> None:
    """Remove the network interface that a killed host may have left on the bridge."""
    interface = Path(f"/sys/class/net/vb-{machine}")
    while interface.exists():
        # The kernel removes it too, a moment after the crash: whoever comes first.
        subprocess.run(["ip", "link", "delete", interface.name], stderr=subprocess.DEVNULL)
        time.sleep(0.02)


class Supervisor:
    """One host from its first boot to its end."""

    def __init__(self, machine: str, folder: Path, bridge: str) -> None:
        self.machine = machine
        self.folder = folder
        self.bridge = bridge
        self.tree: subprocess.Popen[bytes] | None = None
        self.stopping = False

    def run(self) -> int:
        """Run the host until it stops; return the status of systemd-nspawn."""
        signal.signal(signal.SIGTERM, lambda _signal, _frame: self.stop())
        cgroups.enter(self.machine)
        mount_root(self.folder)
        status = REBOOT
        while status == REBOOT and not self.stopping:
            clear_interface(self.machine)
            self.tree = boot(self.machine, self.folder, self.bridge)
            status = self.tree.wait()
            self.tree = None
        return status

    def stop(self) -> None:
        """Ask systemd-nspawn, once, to power the host off; asked twice it would kill it."""
        if self.stopping:
            return
        self.stopping = True
        while self.tree and self.tree.poll() is None:
            namespace = process.identify(self.tree.pid)
            nspawns = process.children(namespace) if namespace else []
            for nspawn in nspawns:
                process.send(nspawn, signal.SIGTERM)
            if nspawns:
                return
            # The namespace is there before the program in it.
            time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(Supervisor(sys.argv[1], Path(sys.argv[2]), sys.argv[3]).run())
