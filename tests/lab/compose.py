"""Debian 13's docker-compose, usable in place: Debian 12 has the first one alone, which knows no condition."""

import shutil
from pathlib import Path

from tests.lab import cache, mirror
from tests.lab.commands import require, run
from tests.lab.image import KEYRING

PACKAGE, SUITE, PROGRAM = "docker-compose", "trixie", "usr/libexec/docker/cli-plugins/docker-compose"
# Raise it to unpack anew though the package has the same name.
EDITION = "1"
NEEDS = ("mmdebstrap", KEYRING)
MEGABYTES = 400


def program() -> Path:
    """Return the program docker-compose; nothing is installed. Raises LabError."""
    require(NEEDS)
    cache.ROOM.setdefault("compose", MEGABYTES)
    return cache.built("compose", cache.key(EDITION, PACKAGE, SUITE), unpack) / PACKAGE


def unpack(folder: Path) -> None:
    """Put the program alone into an empty folder, from this machine's own mirror."""
    found, everything = mirror.read(), folder / "everything"
    options = [f'--aptopt=Acquire::http::Proxy "{found.proxy}"'] if found.proxy else []
    run(
        [
            "mmdebstrap", "--mode=root", "--variant=extract", "--quiet", f"--keyring={KEYRING}", *options,
            f"--include={PACKAGE}", SUITE, everything, f"deb {found.debian} {SUITE} main",
        ],
        purpose="unpack Debian 13's docker-compose",
    )  # fmt: skip
    # It is one program that needs nothing beside it.
    shutil.move((everything / PROGRAM).resolve(), folder / PACKAGE)
    shutil.rmtree(everything)
    run([folder / PACKAGE, "version"], purpose="run the unpacked docker-compose")
