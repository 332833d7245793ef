"""Packages of Debian, usable in place: unpacked into a folder, nothing is installed or started."""

from __future__ import annotations

from pathlib import Path

from tests.lab import mirror
from tests.lab.commands import require, run
from tests.lab.image import KEYRING

NEEDS = ("mmdebstrap", KEYRING)
# /bin is a link to /usr/bin there, as on each platform.
MERGED = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"
# A suite that is archived has a release file that is past its date.
ARCHIVED = '--aptopt=Acquire::Check-Valid-Until "false"'


def unpack(packages: tuple[str, ...], suite: str, folder: Path, *options: str) -> None:
    """Unpack a suite's packages and what they depend on, from this machine's own mirror. Raises LabError."""
    require(NEEDS)
    found = mirror.read()
    proxy = [f'--aptopt=Acquire::http::Proxy "{found.proxy}"'] if found.proxy else []
    run(
        [
            "mmdebstrap", "--mode=root", "--variant=extract", "--quiet", f"--keyring={KEYRING}", *proxy, *options,
            f"--include={','.join(packages)}", suite, folder, f"deb {found.debian} {suite} main",
        ],
        purpose=f"unpack {packages[0]} of Debian's {suite}",
    )  # fmt: skip
