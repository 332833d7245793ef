"""Debian's own PostgreSQL 15, usable in place: the machine's if it has one, else unpacked in the cache."""

from pathlib import Path

from tests.lab import cache, mirror
from tests.lab.commands import require, run
from tests.lab.image import KEYRING

INSTALLED = Path("/usr/lib/postgresql/15/bin")
PROGRAMS = ("initdb", "postgres")
PACKAGE = "postgresql-15"
# Raise it to unpack anew though the package has the same name.
EDITION = "1"
NEEDS = ("mmdebstrap", KEYRING)
MEGABYTES = 700
# These belong to the machine's own loader; another build of them does not work under it.
GLIBC = ("ld-linux", "libc.", "libm.", "libpthread.", "librt.", "libdl.", "libutil.", "libresolv.", "libnss_")

# Relative to itself, because the folder is renamed when it is whole.
WRAPPER = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/..
export LD_LIBRARY_PATH="$here/lib"
exec "$here/tree/usr/lib/postgresql/15/bin/{program}" "$@"
"""


def programs() -> Path:
    """Return the folder with initdb and postgres 15; nothing is installed, and no server is started."""
    if all((INSTALLED / program).exists() for program in PROGRAMS):
        return INSTALLED
    require(NEEDS)
    cache.ROOM.setdefault("postgresql", MEGABYTES)
    return cache.built("postgresql", f"15-{cache.key(EDITION, PACKAGE)}", unpack) / "bin"


def unpack(folder: Path) -> None:
    """Unpack the package and what it depends on into an empty folder, from this machine's own mirror."""
    found, tree = mirror.read(), folder / "tree"
    options = [f'--aptopt=Acquire::http::Proxy "{found.proxy}"'] if found.proxy else []
    source = f"deb {found.debian} {mirror.SUITE} main"
    run(
        [
            "mmdebstrap", "--mode=root", "--variant=extract", "--quiet", f"--keyring={KEYRING}", *options,
            f"--include={PACKAGE}", mirror.SUITE, tree, source,
        ],
        purpose="unpack Debian's PostgreSQL 15",
    )  # fmt: skip
    libraries, binaries = folder / "lib", folder / "bin"
    libraries.mkdir()
    binaries.mkdir()
    for library in sorted(
        path for root in ("lib", "usr/lib") for path in tree.glob(f"{root}/*-linux-gnu/*.so*")
    ):
        if not library.name.startswith(GLIBC) and not (libraries / library.name).is_symlink():
            (libraries / library.name).symlink_to(f"../{library.relative_to(folder)}")
    for program in PROGRAMS:
        (binaries / program).write_text(WRAPPER.format(program=program))
        (binaries / program).chmod(0o755)
    tree.chmod(0o755)
    folder.chmod(0o755)
