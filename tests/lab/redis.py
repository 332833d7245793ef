"""Debian's redis-server, usable in place: the machine's if it has one, else unpacked in the cache."""

import shutil
from pathlib import Path

from tests.lab import cache, mirror
from tests.lab.commands import run, search_path
from tests.lab.unpack import ARCHIVED, unpack

PACKAGE = "redis-server"
PROGRAM = "redis-server"
# Raise it to unpack anew though the package has the same name.
EDITION = "1"
MEGABYTES = 200
# All that is kept of the unpacked tree; a link before what it leads to.
KEPT = (
    "lib",
    "lib64",
    "usr/bin/redis-server",
    "usr/bin/redis-check-rdb",
    "usr/lib",
    "usr/share/doc/redis-tools",
)

# The unpacked loader with the unpacked libraries: whatever this machine's own are. Relative to itself, because the
# folder is renamed when it is whole.
WRAPPER = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/tree
for loader in "$here"/lib64/ld-linux-*.so.* "$here"/lib/ld-linux-*.so.* "$here"/lib/*-linux-gnu/ld-[0-9]*.so; do
  [ -x "$loader" ] && break
done
libraries=$(echo "$here"/lib/*-linux-gnu "$here"/usr/lib/*-linux-gnu | tr ' ' ':')
exec "$loader" --library-path "$libraries" "$here/usr/bin/redis-server" "$@"
"""


def program() -> Path:
    """Return the program redis-server; nothing is installed, and no server is started."""
    installed = shutil.which(PROGRAM, path=search_path())
    return Path(installed) if installed else program_of(mirror.SUITE)


def program_of(suite: str) -> Path:
    """Return that of a Debian suite: bullseye has 6.0.16, which Ubuntu 22.04 has too."""
    cache.ROOM.setdefault("redis", MEGABYTES)
    words = (EDITION, PACKAGE, WRAPPER, *KEPT, *([] if suite == mirror.SUITE else [suite]))
    return cache.built("redis", cache.key(*words), lambda folder: keep(suite, folder)) / PROGRAM


def keep(suite: str, folder: Path) -> None:
    """Put what is kept of the package and of what it depends on into an empty folder."""
    everything, tree = folder / "everything", folder / "tree"
    unpack((PACKAGE,), suite, everything, ARCHIVED)
    for kept in KEPT:
        if (everything / kept).exists():
            (tree / kept).parent.mkdir(parents=True, exist_ok=True)
            (everything / kept).rename(tree / kept)
    shutil.rmtree(everything)
    (folder / PROGRAM).write_text(WRAPPER)
    (folder / PROGRAM).chmod(0o755)
    run([folder / PROGRAM, "--version"], purpose="run the unpacked redis-server")
