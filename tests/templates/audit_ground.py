"""Debian's auditctl, unpacked in the cache, which reads rules and may give none to this machine's kernel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.lab import cache, mirror
from tests.lab.commands import require
from tests.lab.unpack import unpack

PACKAGE = "auditd"
# Raise it to unpack anew though the package has the same name.
EDITION = "1"
MEGABYTES = 40
NEEDS = ("unshare",)
KEPT = ("lib", "lib64", "sbin/auditctl", "usr/lib", "usr/share/doc/auditd/copyright")
# A namespace's root may not change the audit's rules, and is told so by the kernel after auditctl has read the rule.
READ = (
    "Operation not permitted",
    "The audit system is disabled",
    # Asked of the kernel, which says what it can only to whom it lets ask; Ubuntu 22.04's can.
    "Field option not supported by kernel: exe",
)


def refusals(rules: str) -> list[str]:
    """What auditctl does not understand of a file of rules, a line each; empty when it reads all of them."""
    found = []
    for line in rules.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", *_program(), *line.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        said = [each for each in done.stdout.splitlines() if not any(known in each for known in READ)]
        found += [f"{line}: {each}" for each in said]
    return found


def _program() -> list[str]:
    """The unpacked loader with the unpacked libraries: whatever this machine's own are."""
    require(NEEDS)
    cache.ROOM.setdefault("audit", MEGABYTES)
    tree = cache.built("audit", cache.key(EDITION, PACKAGE, *KEPT), _keep)
    loader = next(iter([*tree.glob("lib64/ld-linux-*.so.*"), *tree.glob("lib/ld-linux-*.so.*")]))
    libraries = [str(each) for each in (*tree.glob("lib/*-linux-gnu"), *tree.glob("usr/lib/*-linux-gnu"))]
    return [str(loader), "--library-path", ":".join(libraries), str(tree / "sbin/auditctl")]


def _keep(folder: Path) -> None:
    """Put what is kept of the package and of what it depends on into an empty folder."""
    everything = folder / "everything"
    unpack((PACKAGE,), mirror.SUITE, everything)
    for kept in KEPT:
        if (everything / kept).exists():
            (folder / kept).parent.mkdir(parents=True, exist_ok=True)
            (everything / kept).rename(folder / kept)
    shutil.rmtree(everything)
