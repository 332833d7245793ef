"""Whether the disks take a release, asked before anything is written."""

from __future__ import annotations

from slipway.errors import RefusedError
from slipway.files import free_inodes
from slipway.host import Host
from slipway.releases.manifest import Manifest

# Of the wheels that are installed, beside the copy received. Measured: the files unpacked, 3.5 times as much installed.
SPACE_FACTOR = 5
# Of a wheel as it is installed, compiled files too.
INODES_A_WHEEL = 300


def require(host: Host, manifest: Manifest, whole: bool, freed: int) -> int:
    """The bytes that staging a bundle takes. Raises RefusedError where they, or the inodes, are not free.

    whole: its environment has to be built, too. freed: bytes that a killed run left, swept before anything is written.
    """
    wheels = [*manifest.own_wheels, *(manifest.shared_wheels if whole else [])]
    needed = manifest.size(manifest.files) + SPACE_FACTOR * manifest.size(wheels)
    for path in (host.releases, host.staging, host.incoming):
        free = host.free_bytes(path) + (0 if path == host.incoming else freed)
        if free < needed:
            raise RefusedError(
                "disk-space",
                f"Release {manifest.release} needs {needed} bytes free for staging, {path} has {free}.",
                "Remove old releases or make room, then run this again.",
                needed=needed,
                free=free,
                path=str(path),
            )
    inodes, left = INODES_A_WHEEL * len(wheels), free_inodes(host.releases)
    if left is not None and left < inodes:
        raise RefusedError(
            "disk-inodes",
            f"Release {manifest.release} needs some {inodes} inodes for its files, {host.releases} has {left}.",
            f"Remove old releases (slipway prune), or find many small files: du --inodes -x {host.releases.parent}",
            needed=inodes,
            free=left,
        )
    return needed
