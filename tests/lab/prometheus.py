"""Debian's promtool and amtool, unpacked in the cache: nothing is installed, and no server is started."""

import shutil
from pathlib import Path

from tests.lab import cache, mirror
from tests.lab.commands import require, run
from tests.lab.image import KEYRING

PACKAGES = ("prometheus", "prometheus-alertmanager")
PROGRAMS = ("promtool", "amtool")
# Raise it to unpack anew though the packages have the same names.
EDITION = "1"
MEGABYTES = 700


def programs() -> Path:
    """Return the folder of both programs."""
    require(("mmdebstrap", KEYRING))
    cache.ROOM.setdefault("prometheus", MEGABYTES)
    return cache.built("prometheus", cache.key(EDITION, *PACKAGES, *PROGRAMS), unpack)


def unpack(folder: Path) -> None:
    """Unpack both packages into an empty folder, from this machine's own mirror, and keep the two programs."""
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
    shutil.rmtree(everything)
    run([folder / "promtool", "--version"], purpose="run the unpacked promtool")
