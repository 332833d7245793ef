"""PostgreSQL 17 for hosts whose system has none, with what drives it, as an apt archive; and a pgBackRest for it."""

import shutil
import tempfile
from pathlib import Path

from tests.lab import archive, cache, postgresql
from tests.lab.commands import ARCHIVE_NEEDS, require, run
from tests.lab.unpack import NEEDS, unpack

SUITE = "lab-17"
VERSION = "17"
CLIENT_RECIPE = Path(__file__).parent / "postgresql-client-17"
# Debian 13 has the clients of 17; the server's packages on npm have none.
CLIENT_PACKAGE, DEBIAN_13 = "postgresql-client-17", "trixie"
CLIENT_PROGRAMS = (
    "createdb",
    "dropdb",
    "pg_dump",
    "pg_dumpall",
    "pg_isready",
    "pg_restore",
    "psql",
    "vacuumdb",
)
CLIENT_HOME = "usr/lib/postgresql/17/debian-13"
# The packages themselves stay there as well.
FETCHED, WHOLE = "var/cache/apt/archives", "--skip=cleanup/apt/cache"
# What drives 17 has to know it, and Ubuntu 22.04's does not: its pg_createcluster sets what 17 refuses.
COMMON_PACKAGES = ("postgresql-common", "postgresql-client-common", "postgresql-common-dev")
EDITION = "1"
MEGABYTES = 600
# The programs' own loader and libraries, whatever the host's are; each finds the others by the name it was called by.
WRAPPER = """#!/bin/sh
home={home}
exec "$home/bin/loader" --argv0 "$0" --library-path "$home/lib" "$home/bin/${{0##*/}}" "$@"
"""


def ensure() -> Path:
    """Return the archive's folder, signed by the same key as the first archive; built when this machine has none."""
    require((*ARCHIVE_NEEDS, *NEEDS))
    postgresql.require_amd64(VERSION)
    cache.ROOM.setdefault("later", MEGABYTES)
    binaries = postgresql.BINARIES[VERSION]
    texts = [*server_recipe().values(), *archive.files_of(CLIENT_RECIPE).values()]
    name = cache.key(
        EDITION, SUITE, binaries.package, binaries.sha512, WRAPPER, *CLIENT_PROGRAMS, *COMMON_PACKAGES, *texts
    )
    return cache.built("later", name, build) / "repository"


def build(folder: Path) -> None:
    """Build the archive into an empty folder."""
    server, client = folder / "postgresql-17", folder / "postgresql-client-17"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        archive.lay_out_server(postgresql.download(VERSION, Path(scratch)), server, VERSION)
        everything, pool = Path(scratch) / "everything", folder / "repository" / "pool"
        unpack((CLIENT_PACKAGE, "postgresql-common"), DEBIAN_13, everything, WHOLE)
        lay_out_clients(everything, client)
        pool.mkdir(parents=True)
        for name in COMMON_PACKAGES:
            shutil.copy(next((everything / FETCHED).glob(f"{name}_*.deb")), pool)
    archive.pack(server, server_recipe(), pool)
    archive.pack(client, archive.files_of(CLIENT_RECIPE), pool)
    archive.sign(archive.index(folder / "repository", SUITE), folder / "archive-key.asc")
    for tree in (server, client):
        shutil.rmtree(tree)


def server_recipe() -> dict[str, str]:
    """Return what makes a package of the server: version 14's, with the numbers of this one."""
    # Such as 17.10, of 17.10.0-beta.17.
    versions = (archive.VERSION, VERSION)
    releases = (postgresql.BINARIES[each].release.partition(".0-")[0] for each in versions)
    found = archive.files_of(archive.RECIPES[0])
    for old, new in (releases, versions):
        found = {name: text.replace(old, new) for name, text in found.items()}
    return found


def lay_out_clients(everything: Path, tree: Path) -> None:
    """Place Debian 13's client programs with the loader and the libraries that they need."""
    folder, programs = everything / "usr/lib/postgresql/17/bin", tree / "usr/lib/postgresql/17/bin"
    lay_out(everything, [folder / name for name in CLIENT_PROGRAMS], tree / CLIENT_HOME)
    programs.mkdir(parents=True)
    for name in CLIENT_PROGRAMS:
        (programs / name).write_text(WRAPPER.format(home=f"/{CLIENT_HOME}"))


def pgbackrest() -> Path:
    """Return Debian 13's pgBackRest, the first of Debian's that backs up 17; nothing is installed. Raises LabError."""
    cache.ROOM.setdefault("pgbackrest", MEGABYTES)
    return cache.built("pgbackrest", cache.key(EDITION, WRAPPER), build_pgbackrest) / "pgbackrest"


def build_pgbackrest(folder: Path) -> None:
    """Put the program with what it needs into an empty folder."""
    everything = folder / "everything"
    unpack(("pgbackrest",), DEBIAN_13, everything)
    lay_out(everything, [everything / "usr/bin/pgbackrest"], folder)
    shutil.rmtree(everything)
    # The folder is renamed when it is whole.
    (folder / "pgbackrest").write_text(WRAPPER.format(home='$(dirname "$(readlink -f "$0")")'))
    (folder / "pgbackrest").chmod(0o755)
    run([folder / "pgbackrest", "version"], purpose="run the unpacked pgBackRest")


def lay_out(everything: Path, programs: list[Path], home: Path) -> None:
    """Copy programs with their loader and libraries into bin and lib of a folder."""
    for folder in (home / "bin", home / "lib"):
        folder.mkdir(parents=True)
    libraries = everything / "usr/lib/x86_64-linux-gnu"
    loader = next(everything.glob("usr/lib*/ld-linux-x86-64.so.2")).resolve()
    shutil.copy(loader, home / "bin/loader")
    for program in programs:
        shutil.copy(program, home / "bin" / program.name)
        words = [str(loader), "--library-path", str(libraries), "--list", str(program)]
        for line in run(words, purpose=f"list what {program.name} needs").splitlines():
            # Such as: libpq.so.5 => /path/libpq.so.5 (0x...)
            if "=> /" in line and not (home / "lib" / line.split()[0]).exists():
                shutil.copy(line.split()[2], home / "lib" / line.split()[0])
