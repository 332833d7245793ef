"""Programs of this machine: which the lab needs, where they come from, and how it runs them."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.lab.errors import LabError

# What `up` runs, with the Debian package that brings it.
DEBIAN_PACKAGES = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "apt-cacher-ng": "apt-cacher-ng",
    "apt-ftparchive": "apt-utils",
    "dpkg-deb": "dpkg",
    "gpg": "gpg",
    "npm": "npm",
    "node": "nodejs",
    "ip": "iproute2",
    "mksquashfs": "squashfs-tools",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "findmnt": "util-linux",
    "nft": "nftables",
}
# What tests run beside that, where the machine's archive has it: Ubuntu has Chromium as a snap alone.
WELCOME_PACKAGES = {"chromium": "chromium", "pgbackrest": "pgbackrest", "rsync": "rsync"}
# What runs images, and composes them, in the containers' tests.
CONTAINER_PACKAGES = {
    "podman": "podman",
    "buildah": "buildah",
    "crun": "crun",
    "runc": "runc",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
    "iptables": "iptables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "mmdebstrap": "mmdebstrap",
}
ARCHIVE_NEEDS = ("apt-ftparchive", "dpkg-deb", "gpg", "npm", "node", "setpriv")

# A child ends with the lab command that started it, even when that command is killed.
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
# A program's mounts are its own, and gone when it is.
OWN_MOUNTS = ("unshare", "--mount", "--propagation", "private")
# Both, for a whole tree of processes.
TREE_DIES_WITH_US = (*DIES_WITH_US, *OWN_MOUNTS, "--pid", "--fork", "--kill-child", "--mount-proc")


def missing(needs: Iterable[str] = tuple(DEBIAN_PACKAGES)) -> list[str]:
    """Return those of the needed programs and files that this machine does not have."""
    return [need for need in needs if not (Path(need).exists() or shutil.which(need, path=search_path()))]


def require(needs: Iterable[str] = tuple(DEBIAN_PACKAGES)) -> None:
    """Raise LabError naming every missing program and the one command that installs them."""
    absent = missing(needs)
    if absent:
        packages = sorted({DEBIAN_PACKAGES[need] for need in absent})
        raise LabError(
            f"The lab needs {', '.join(absent)}, which this machine does not have; nothing was changed. "
            f"Type: apt-get install --no-install-recommends {' '.join(packages)} (or: python -m tests.lab install)."
        )


def require_root() -> None:
    """Raise LabError unless this process may make mounts, namespaces and network interfaces."""
    if os.geteuid() != 0:
        raise LabError(
            "The lab boots hosts, which needs root (mounts, namespaces, a network bridge); nothing was changed. "
            "Type the same command with sudo."
        )
    probe = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, text=True
    )
    if probe.returncode != 0:
        raise LabError(
            "This machine does not let root make mounts and namespaces, so no host can boot "
            f"({probe.stderr.strip()}); nothing was changed. "
            "Run the lab on a virtual or real machine, or in a container started with --privileged."
        )


def search_path() -> str:
    """Return PATH with the folders where Debian keeps root's programs."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def run(
    argv: Sequence[str | Path],
    *,
    purpose: str,
    cwd: Path | None = None,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = DIES_WITH_US,
) -> str:
    """Run a program to its end and return its standard output.

    purpose completes the sentence "Could not …" of the LabError raised when it fails.
    """
    completed = subprocess.run(
        [*wrapper, *map(str, argv)],
        cwd=cwd,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        env={**os.environ, "PATH": search_path(), "LC_ALL": "C.UTF-8", **(environment or {})},
        capture_output=True,
        text=True,
        errors="replace",
    )
    if completed.returncode != 0:
        said = "\n".join(f"  {line}" for line in (completed.stderr or completed.stdout).splitlines()[-15:])
        raise LabError(
            f"Could not {purpose}: {Path(str(argv[0])).name} ended with status {completed.returncode} and said\n{said}"
        )
    return completed.stdout
