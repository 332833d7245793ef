"""The revisions and the SQL of a release that no host has yet: of a commit, of the files here, or of a bundle.

Its own code says them, here, without secrets or a database: `schema --sql` of its migrator under this Python,
with the wheels that its lock pins.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabfile import schema
from fabfile.bundle import archive, declaration, locks, migrations, own_wheels, source, wheels
from fabfile.bundle.wheels import Target
from fabfile.errors import FabError, RefusedError
from fabfile.migration import waivers
from fabfile.migration.waivers import Waiver
from fabfile.schema import Revision

SERVICE = archive.PROJECT / "service"
CACHE = archive.PROJECT / "build/wheelhouse"
LOCK = "requirements.lock"
NONE: Mapping[str, str] = {}
SECONDS = 60
# -I: neither the caller's environment nor the folder decides what is imported, but these paths.
RUN = """
import os, runpy, sys
paths, module = sys.argv[1:3]
sys.path[:0] = paths.split(os.pathsep)
sys.argv[1:] = ["schema", "--sql"]
runpy.run_module(module, run_name="__main__")
"""
MIGRATOR = "slipway_migrator"


@dataclass(frozen=True)
class Candidate:
    """name: of the release, or of the commit. sql: by revision."""

    name: str
    chain: list[Revision]
    sql: dict[str, str]
    waivers: list[Waiver]


def of_commit(
    ref: str, service: Path = SERVICE, cache: Path = CACHE, settings: Mapping[str, str] = NONE
) -> Candidate:
    """What the commit would migrate. settings: the service's, by name. Raises BuildError for what git does not know."""
    commit = source.commit(service, ref)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "service")
        tree.mkdir()
        source.export(service, commit, tree)
        code = _code(service, commit.sha, False, tree)
        return _of_tree(f"commit {commit.sha[:7]}", code, cache, settings)


def of_files(
    allow_dirty: bool, service: Path = SERVICE, cache: Path = CACHE, settings: Mapping[str, str] = NONE
) -> Candidate:
    """What the files here would migrate. Raises BuildError when they are not as committed and may not be."""
    dirty = archive.has_changes(service, None, allow_dirty)
    commit = source.commit(service)
    if not dirty:
        return of_commit(commit.sha, service, cache, settings)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "service")
        tree.mkdir()
        source.copy_changed(service, tree)
        code = _code(service, commit.sha, True, tree)
        return _of_tree(f"commit {commit.sha[:7]} with changed files", code, cache, settings)


def of_bundle(path: Path, cache: Path = CACHE, settings: Mapping[str, str] = NONE) -> Candidate:
    """What a bundle's release would migrate. Raises RefusedError when it is not as its manifest says."""
    manifest = archive.manifest_of(path)
    with tempfile.TemporaryDirectory() as scratch:
        code = Path(scratch, "code")
        listed = manifest.get("files") or {}
        names = [
            name for name in listed if name == LOCK or name.startswith(("app/", f"wheelhouse/{MIGRATOR}-"))
        ]
        found = _members(path, manifest, names)
        own = [data for name, data in sorted(found.items()) if name.endswith(".whl")]
        if LOCK not in found or not any(name.startswith("app/") for name in found):
            raise RefusedError(f"{path} has no {LOCK}, or no wheel of the service. Nothing was changed.")
        pins = found[LOCK].decode("utf-8", "replace").splitlines(keepends=True)
        lock = "".join(pin for pin in pins if not pin.startswith("slipway-migrator=="))
        packed = Path(scratch, "wheel")
        for data in own:
            packed.write_bytes(data)
            shutil.unpack_archive(packed, code, "zip")
        (code / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        name = str(manifest.get("release"))
        chain, app = schema.of_manifest(manifest), str(manifest.get("app"))
        sql = _sql(name, app, [code], lock, cache, settings) if chain else {}
        return Candidate(name, chain, sql, waivers.load())


def _code(service: Path, ref: str, dirty: bool, tree: Path) -> list[Path]:
    """The service's files, and beside them the migrator's, once a service says where its migrations are."""
    own = [folder for folder in (tree, tree / "src") if folder.is_dir()]
    if "migrations" not in declaration.declared(tree):
        return own
    own_wheels.files(service, ref, dirty, archive.PROJECT, tree.with_name(own_wheels.FOLDER))
    return [*own, tree.with_name(own_wheels.FOLDER)]


def _of_tree(name: str, code: list[Path], cache: Path, settings: Mapping[str, str]) -> Candidate:
    tree = code[0]
    place = migrations.folder(tree, declaration.declared(tree))
    if place is None:
        return Candidate(name, [], {}, [])
    chain = schema.of_manifest({"schema_revisions": source.schema_revisions(place)})
    accepted = place / "waivers.yml"
    known = waivers.load(accepted) if accepted.is_file() else []
    lock = locks.read(tree, [_here()], cache)
    return Candidate(name, chain, _sql(name, declaration.app_name(tree), code, lock, cache, settings), known)


def _members(path: Path, manifest: dict[str, Any], names: list[str]) -> dict[str, bytes]:
    found = {}
    try:
        with tarfile.open(path) as archive:
            for name in names:
                member = archive.extractfile(name)
                found[name] = member.read() if member else b""
    except (OSError, tarfile.TarError, EOFError, KeyError) as failure:
        raise RefusedError(
            f"{path} lacks what its manifest lists ({failure}). Nothing was changed."
        ) from None
    for name, data in found.items():
        if hashlib.sha256(data).hexdigest() != manifest["files"][name].get("sha256"):
            raise RefusedError(f"{name} in {path} is not what its manifest says. Nothing was changed.")
    return found


def _sql(
    name: str, app: str, code: Sequence[Path], lock: str, cache: Path, settings: Mapping[str, str]
) -> dict[str, str]:
    paths = os.pathsep.join(map(str, [libraries(lock, cache), *code]))
    # One from before the migrator was a package of its own has it in its command line.
    module = MIGRATOR if any((folder / MIGRATOR).is_dir() for folder in code) else f"{app}.cli"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", RUN, paths, module],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            cwd=code[0],
            env={**settings, "PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise FabError(f"{name} does not say its SQL within {SECONDS} s. Nothing was changed.") from None
    try:
        return {row["revision"]: row["sql"] for row in json.loads(done.stdout)["revisions"]}
    except (ValueError, KeyError, TypeError):
        reason = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise FabError(
            f"{name} does not say its SQL ({reason}); one from before `schema --sql` cannot. Nothing was changed."
        ) from None


def _here() -> Target:
    return Target(f"{sys.version_info.major}.{sys.version_info.minor}", os.uname().machine)


def libraries(lock: str, cache: Path) -> Path:
    """The folder with what the lock pins for this Python; made once, and whole or not there."""
    target = _here()
    wanted = wheels.requirements_for(lock, target)
    digest = hashlib.sha256(f"{target}\n{wanted}".encode()).hexdigest()[:16]
    folder = cache.with_name("libraries") / digest
    if folder.is_dir():
        return folder
    found = wheels.third_party(lock, [target], cache)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        unpacked = Path(scratch, "all")
        for path in found.values():
            shutil.unpack_archive(path, unpacked, "zip")
        try:
            unpacked.rename(folder)
        except OSError:
            # Another one was quicker; what it made is the same.
            shutil.rmtree(unpacked)
    return folder
