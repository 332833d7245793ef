"""A release in one file: the service's wheel, the wheels it needs on every target, and a manifest of it all.

The same commit and build time give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fabfile.bundle import contents, declaration, locks, migrations, own_wheels, source, wheels
from fabfile.bundle.declaration import Understood
from fabfile.bundle.wheels import Target
from fabfile.errors import BuildError, RefusedError

SCHEMA = 1
PROJECT = Path(__file__).parents[2]
DEFAULT_TARGETS = (Target("3.10", "x86_64"), Target("3.11", "x86_64"))


@dataclass(frozen=True)
class Bundle:
    """path: the file. sha256: of the whole file. release: its release id. app: the service that it is of.

    signature: of the sha256, as base64. signed_with: the fingerprint of its key. Both "" while nobody signed.
    """

    path: Path
    sha256: str
    release: str
    app: str
    signature: str = ""
    signed_with: str = ""

    def as_json(self) -> str:
        said = {"path": str(self.path), "sha256": self.sha256, "release": self.release}
        return json.dumps({**said, **({"signed_with": self.signed_with} if self.signed_with else {})})


def build(
    service: Path = PROJECT / "service",
    output: Path = PROJECT / "build/bundles",
    targets: Sequence[Target] = DEFAULT_TARGETS,
    ref: str | None = None,
    allow_dirty: bool = False,
    built_at: datetime | None = None,
    cache: Path = PROJECT / "build/wheelhouse",
) -> Bundle:
    """Builds a bundle into output. Raises BuildError.

    ref: a commit, as it is; without one the last commit, and the files must be as committed.
    allow_dirty: without ref, takes changed files as they are and marks the release dirty.
    built_at: UTC, now when not given. cache: keeps downloaded wheels from build to build.
    """
    if not targets:
        raise BuildError("No target was named. One looks like 3.10:x86_64.")
    moment = (built_at or datetime.now(UTC)).replace(microsecond=0)
    commit = source.commit(service, ref or "HEAD")
    dirty = has_changes(service, ref, allow_dirty)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "service")
        tree.mkdir()
        if dirty:
            source.copy_changed(service, tree)
        else:
            source.export(service, commit, tree)
        said = declaration.understood(tree)
        place = migrations.folder(tree, said.declared)
        revisions = source.schema_revisions(place) if place else []
        epoch = int(commit.committed_at.timestamp())
        files = _files(tree, said, place, Path(scratch), targets, cache, epoch)
        if "migrations" in said.declared:
            _add(files, own_wheels.migrator(service, commit.sha, dirty, PROJECT, cache, Path(scratch)))
        release = f"{moment:%Y%m%dT%H%M%SZ}-{commit.sha[:7]}"
        manifest = {
            "schema": SCHEMA,
            "app": said.app,
            **({"service": migrations.released(said.app, said.declared)} if said.declared else {}),
            "release": release,
            "git_sha": commit.sha,
            "git_branch": commit.branch,
            "author": commit.author,
            "dirty": dirty,
            "built_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "targets": [asdict(target) for target in sorted(set(targets))],
            "schema_head": revisions[-1]["id"] if revisions else None,
            "schema_revisions": revisions,
            "files": {
                name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
                for name, data in sorted(files.items())
            },
        }
        files["manifest.json"] = (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
    path = file_of(output, said.app, release)
    _write(path, files, epoch)
    return Bundle(path, wheels.sha256(path), release, said.app)


def targets(named: str, python: str = "") -> Sequence[Target]:
    """Those that were named, with commas between; else hosts whose releases have this Python, else all."""
    found = named or (f"{python}:x86_64" if python else "")
    return [Target.parse(text) for text in found.split(",")] if found else DEFAULT_TARGETS


def file_of(folder: Path, app: str, release: str) -> Path:
    """Where the bundle of a release is kept; older ones are compressed."""
    plain, packed = (folder / f"{app}-{release}.{suffix}" for suffix in ("tar", "tar.gz"))
    return packed if packed.is_file() and not plain.is_file() else plain


def manifest_of(bundle: Path) -> dict[str, Any]:
    """The manifest in a bundle. Raises RefusedError when it has none that can be read."""
    try:
        with tarfile.open(bundle) as archive:
            member = archive.extractfile("manifest.json")
            return dict(json.loads(member.read())) if member else {}
    except (OSError, tarfile.TarError, EOFError, KeyError, ValueError) as failure:
        raise RefusedError(
            f"{bundle} is not a bundle that can be read ({failure}). Build it again: fab build"
        ) from None


def has_changes(service: Path, ref: str | None, allow_dirty: bool) -> bool:
    """Whether the files as they are now, not as committed, are what is built."""
    beside = own_wheels.beside(service)
    changed = [] if ref else source.changes(service) + (source.changes(beside) if beside else [])
    if changed and not allow_dirty:
        shown = "\n".join(f"  {name}" for name in changed[:10])
        raise BuildError(
            f"{len(changed)} file(s) of the service or the migrator are not as committed:\n{shown}\n"
            "Nothing was built. Commit them, or build the last commit without them: fab build --ref HEAD. "
            "For the lab, --allow-dirty takes them as they are and marks the release."
        )
    return bool(changed)


def _files(
    tree: Path,
    said: Understood,
    place: Path | None,
    scratch: Path,
    targets: Sequence[Target],
    cache: Path,
    epoch: int,
) -> dict[str, bytes]:
    """The bundle's files but its manifest and the migrator, by their path in it. place: of migrations."""
    lock = locks.read(tree, targets, cache)
    own = scratch / "wheel"
    own.mkdir()
    wheel = wheels.service_wheel(tree, cache.with_name("backend"), epoch, own)
    found = {f"app/{wheel.name}": wheel.read_bytes(), "requirements.lock": lock.encode()}
    if "application" in said.declared:
        contents.require(said.declared, found, lock)
    if place and migrations.is_outside(said.declared):
        name, data = migrations.wheel(said.app, place, epoch)
        found[f"app/{name}"] = data
    for name, path in wheels.third_party(lock, targets, cache).items():
        found[f"wheelhouse/{name}"] = path.read_bytes()
    return found


def _add(files: dict[str, bytes], wheel: Path) -> None:
    """A wheel of our own, which the bundle's lock pins as all others; the service's cannot know its checksum."""
    lock = files["requirements.lock"]
    files["requirements.lock"] = lock.rstrip(b"\n") + b"\n" + own_wheels.pin(wheel).encode()
    files[f"wheelhouse/{wheel.name}"] = wheel.read_bytes()


def _write(path: Path, files: dict[str, bytes], time: int) -> None:
    """Writes the archive beside path and renames it: a bundle is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Wheels are compressed already, and as they are a host need not be sent those that it has.
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in sorted(files.items()):
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.mode = len(data), time, 0o644
                member.uname = member.gname = "root"
                archive.addfile(member, io.BytesIO(data))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
