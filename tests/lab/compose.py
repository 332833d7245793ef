"""Debian 13's docker-compose, usable in place: Debian 12 has the first one alone, which knows no condition."""

import shutil
from pathlib import Path

from tests.lab import cache
from tests.lab.commands import run
from tests.lab.unpack import unpack

PACKAGE, SUITE, PROGRAM = "docker-compose", "trixie", "usr/libexec/docker/cli-plugins/docker-compose"
# Raise it to unpack anew though the package has the same name.
EDITION = "1"
MEGABYTES = 400


def program() -> Path:
    """Return the program docker-compose; nothing is installed. Raises LabError."""
    cache.ROOM.setdefault("compose", MEGABYTES)
    return cache.built("compose", cache.key(EDITION, PACKAGE, SUITE), keep) / PACKAGE


def keep(folder: Path) -> None:
    """Put the program alone into an empty folder."""
    everything = folder / "everything"
    unpack((PACKAGE,), SUITE, everything)
    # It is one program that needs nothing beside it.
    shutil.move((everything / PROGRAM).resolve(), folder / PACKAGE)
    shutil.rmtree(everything)
    run([folder / PACKAGE, "version"], purpose="run the unpacked docker-compose")
