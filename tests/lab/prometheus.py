"""Debian's Prometheus and Alertmanager with their tools, unpacked in the cache: nothing is installed or started."""

import shutil
from pathlib import Path

from tests.lab import cache, mirror
from tests.lab.commands import run
from tests.lab.unpack import unpack

PACKAGES = ("prometheus", "prometheus-alertmanager")
PROGRAMS = ("promtool", "amtool", "prometheus", "prometheus-alertmanager")
# What Alertmanager's messages are made of, which it looks for at this one place.
SHARED = Path("usr/share/prometheus")
# Raise it to unpack anew though the packages have the same names.
EDITION = "2"
MEGABYTES = 700


def programs() -> Path:
    """Return the folder of the programs, and of SHARED."""
    cache.ROOM.setdefault("prometheus", MEGABYTES)
    return cache.built("prometheus", cache.key(EDITION, *PACKAGES, *PROGRAMS), keep)


def keep(folder: Path) -> None:
    """Put the programs of both packages into an empty folder."""
    everything = folder / "everything"
    unpack(PACKAGES, mirror.SUITE, everything)
    for name in PROGRAMS:
        (everything / "usr/bin" / name).rename(folder / name)
    (folder / SHARED).parent.mkdir(parents=True)
    (everything / SHARED).rename(folder / SHARED)
    shutil.rmtree(everything)
    run([folder / "promtool", "--version"], purpose="run the unpacked promtool")
