"""Debian's Prometheus and Alertmanager with their tools, unpacked in the cache: nothing is installed or started."""

import shutil
from pathlib import Path

from tests.lab import cache, mirror
from tests.lab.commands import require, run
from tests.lab.image import KEYRING

PACKAGES = ("prometheus", "prometheus-alertmanager")
PROGRAMS = ("promtool", "amtool", "prometheus", "prometheus-alertmanager")
# What Alertmanager's messages are made of, which it looks for at this one place.
SHARED = Path("usr/share/prometheus")
# Raise it to unpack anew though the packages have the same names.
EDITION = "2"
MEGABYTES = 700


def programs() -> Path:
    """Return the folder of the programs, and of SHARED."""
    require(("mmdebstrap", KEYRING))
    cache.ROOM.setdefault("prometheus", MEGABYTES)
    return cache.built("prometheus", cache.key(EDITION, *PACKAGES, *PROGRAMS), unpack)


def unpack(folder: Path) -> None:
    """Unpack both packages into an empty folder, from this machine's own mirror, and keep the programs."""
    found, everything = mirror.read(), folder / "everything"
    options = [f'--aptopt=Acquire::http::Proxy "{found.proxy}"'] if found.proxy else []
    run(
        [
            "mmdebstrap", "--mode=root", "--variant=extract", "--quiet", f"--keyring={KEYRING}", *options,
            f"--include={','.join(PACKAGES)}", mirror.SUITE, everything, f"deb {found.debian} {mirror.SUITE} main",
        ],
        purpose="unpack Debian's promtool",
    )  # fmt: skip
    for name in PROGRAMS:
        (everything / "usr/bin" / name).rename(folder / name)
    (folder / SHARED).parent.mkdir(parents=True)
    (everything / SHARED).rename(folder / SHARED)
    shutil.rmtree(everything)
    run([folder / "promtool", "--version"], purpose="run the unpacked promtool")
