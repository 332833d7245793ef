"""The part of every program for hosts that runs first there: imports it from a copy that has its bytecode.

Python keeps no bytecode for an archive, and compiling is half of a start. Goes into the archive as it is: the hosts'
Python, the standard library, and few imports.
"""

from __future__ import annotations

import os
import sys

COPIES = "/var/cache/slipway"
# A program that lies elsewhere was not installed, and leaves nothing behind.
INSTALLED = ("/usr/local/sbin", "/usr/local/lib/slipway")
# What belongs to the archive and to no copy.
START = ("__main__.py", "unpacked.py")
# An older program may still run from its copy.
KEPT_SECONDS = 3600.0


def prefer(package: str, digest: str, archive: str = os.path.dirname(__file__), copies: str = COPIES) -> None:
    """Have package imported from its copy. Root makes the copy where there is none; without one the archive serves."""
    copy = os.path.join(copies, f"{package}-{digest}-{sys.implementation.cache_tag}")
    if not os.path.isdir(copy):
        if os.geteuid() != 0 or os.path.dirname(archive) not in INSTALLED:
            return
        try:
            _make(package, archive, copy)
        except OSError:
            # A full disk must not stop a rollback.
            return
    sys.path.insert(0, copy)


def _make(package: str, archive: str, copy: str) -> None:
    import compileall
    import py_compile
    import shutil
    import tempfile
    import zipfile

    umask = os.umask(0o022)
    made = ""
    try:
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        made = tempfile.mkdtemp(dir=os.path.dirname(copy), prefix=f"{package}-")
        os.chmod(made, 0o755)
        with zipfile.ZipFile(archive) as files:
            files.extractall(made, [name for name in files.namelist() if name not in START])
        # Unchecked: nobody but root can write here, and another program has another digest.
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        if not compileall.compile_dir(
            made, quiet=2, invalidation_mode=unchecked, stripdir=made, prependdir=copy
        ):
            raise OSError(f"{made} could not be compiled")
        _flush(made)
        os.rename(made, copy)
        _remove_old(os.path.dirname(copy), f"{package}-")
    finally:
        os.umask(umask)
        shutil.rmtree(made, ignore_errors=True)


def _flush(top: str) -> None:
    """To the disk, before the copy has its name: half a file of bytecode would end every start after a power cut."""
    for directory, _, names in os.walk(top, topdown=False):
        for path in [*(os.path.join(directory, name) for name in names), directory]:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _remove_old(copies: str, prefix: str) -> None:
    import shutil
    import time

    for entry in os.scandir(copies):
        if entry.name.startswith(prefix) and entry.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(entry.path, ignore_errors=True)
