"""The migrator's wheel, for a service that says where its migrations are: of the same commit, with the same bytes.

Its files carry one time whatever the commit, so that its checksum changes with what it does and with nothing else.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from fabfile.bundle import source, wheels

# 1980-01-01, the earliest that an archive can say.
EPOCH = 315532800
FOLDER, PACKAGE = "migrator", "slipway_migrator"


def migrator(service: Path, ref: str, dirty: bool, project: Path, cache: Path, destination: Path) -> Path:
    """The wheel, in destination. project: Slipway's own repository, for a service that lives in another one.

    dirty: of the files as they are. Else what was built of the same files is kept beside cache.
    """
    own, tree = _place(service, ref, dirty, project)
    kept = cache.with_name(FOLDER) / str(tree)
    found = sorted(kept.glob("*.whl")) if tree else []
    if found:
        return Path(shutil.copy2(found[0], destination))
    with tempfile.TemporaryDirectory() as scratch:
        tree_files = Path(scratch, FOLDER)
        _write(own, tree, tree_files)
        wheel = wheels.service_wheel(tree_files, cache.with_name("backend"), EPOCH, destination)
    if tree:
        kept.mkdir(parents=True, exist_ok=True)
        partial = kept / f".{wheel.name}.{os.getpid()}"
        shutil.copy2(wheel, partial)
        os.replace(partial, kept / wheel.name)
    return wheel


def beside(service: Path) -> Path | None:
    """The migrator beside a service that lives in Slipway's own repository."""
    found = service.parent / FOLDER
    return found if (found / PACKAGE).is_dir() else None


def files(service: Path, ref: str, dirty: bool, project: Path, destination: Path) -> None:
    """The same as files, in destination, a new directory."""
    _write(*_place(service, ref, dirty, project), destination)


def _place(service: Path, ref: str, dirty: bool, project: Path) -> tuple[Path, str | None]:
    """The folder, and the id of its files in git; None where they are taken as they are."""
    own, tree = service.parent / FOLDER, source.tree(service.parent, f"{ref}:./{FOLDER}")
    # In another repository a folder of this name is something else.
    is_ours = tree is not None and source.tree(service.parent, f"{ref}:./{FOLDER}/{PACKAGE}") is not None
    if not is_ours and not beside(service):
        own, tree = project / FOLDER, source.tree(project, f"HEAD:./{FOLDER}")
    return own, None if dirty and source.changes(own) else tree


def _write(own: Path, tree: str | None, destination: Path) -> None:
    if tree is None:
        source.copy_changed(own, destination)
    else:
        source.export_tree(own.parent, tree, destination)


def pin(wheel: Path) -> str:
    """The line of a lock that stands for a wheel of our own."""
    name, version = wheel.name.split("-")[:2]
    return f"{name.replace('_', '-')}=={version} --hash=sha256:{wheels.sha256(wheel)}\n"
