"""Reading a bundle: received whole, checked member by member, and only then unpacked."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import select
import shutil
import stat
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO

from slipway.errors import RefusedError
from slipway.releases import parts
from slipway.releases.manifest import Manifest, parse
from slipway.releases.requirements import Pin
from slipway.releases.requirements import parse as parse_lock

MAX_BUNDLE_BYTES = 1 << 30
MAX_UNPACKED_BYTES = 2 << 30
MAX_MEMBERS = 2000
MAX_TEXT_BYTES = 4 << 20
IDLE_SECONDS = 60.0
CHUNK = 1 << 20
DIRECTORIES = {"app", "wheelhouse"}
MEMBER = re.compile(r"(manifest\.json|requirements\.lock|(app|wheelhouse)/[A-Za-z0-9][A-Za-z0-9._+!-]*\.whl)")
Wheel = Callable[[str, list[str]], Iterator[bytes]]
DAMAGE = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error)


def receive(source: str, sha256: str, spool: Path, wheel: Wheel | None = None) -> None:
    """Copies the bundle (a file beside spool, or - for standard input) to spool, a new file, and checks its sha256.

    The copy is what is read from then on: nobody can change it between the check and the unpacking.
    wheel: it comes in parts, and this gives the bytes of one that is here, or names it in a list when it is not.
    """
    digest, received = hashlib.sha256(), 0
    missing: list[str] = []
    with _source(source, spool.parent) as stream, spool.open("xb") as target:

        def read() -> bytes:
            return _read(stream, source)

        chunks = parts.joined(read, lambda name: wheel(name, missing)) if wheel else iter(read, b"")
        for chunk in chunks:
            received += len(chunk)
            if received > MAX_BUNDLE_BYTES:
                raise RefusedError("bundle-size", f"The bundle is larger than {MAX_BUNDLE_BYTES} bytes.")
            digest.update(chunk)
            target.write(chunk)
    if missing:
        raise RefusedError(
            "wheels-missing",
            f"{len(missing)} of the wheels that were only named are not on this host. Nothing was staged.",
            "Send the bundle with them.",
            missing=missing,
        )
    if digest.hexdigest() != sha256.lower():
        raise RefusedError(
            "checksum",
            f"The bundle arrived with sha256 {digest.hexdigest()} ({received} bytes), expected {sha256}: "
            "it was cut or changed on the way.",
            "Send it again.",
            expected=sha256,
            found=digest.hexdigest(),
        )


@contextmanager
def _source(source: str, folder: Path) -> Iterator[IO[bytes]]:
    if source == "-":
        with open(0, "rb", buffering=0, closefd=False) as stream:
            yield stream
        return
    # Whoever may call slipway may not read by it what root can.
    if Path(source).parent != folder or Path(source).name.startswith("."):
        raise RefusedError(
            "bundle-place",
            f"slipway reads no file outside {folder}, and {source} is none of it.",
            f"Give it on standard input: slipway stage --bundle - --sha256 HEX < {Path(source).name}",
        )
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as failure:
        raise RefusedError(
            "bundle-missing", f"Cannot read the bundle {source}: {failure.strerror}."
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedError("bundle-missing", f"The bundle {source} is not a regular file.")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _read(stream: IO[bytes], source: str) -> bytes:
    # A connection that hangs must not hold the lock for ever.
    if source == "-" and not select.select([stream], [], [], IDLE_SECONDS)[0]:
        raise RefusedError("bundle-missing", f"Standard input gave no byte for {IDLE_SECONDS:g} s.")
    return stream.read(CHUNK)


def inspect(spool: Path, app: str) -> tuple[Manifest, list[Pin]]:
    """Checks every member of the bundle without writing anything. Raises RefusedError with what is wrong."""
    found: dict[str, tuple[str, int]] = {}
    texts: dict[str, bytes] = {}
    try:
        with _opened(spool) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member, name in _checked_members(archive):
                content = archive.extractfile(member)
                if content is None:
                    continue
                if name in ("manifest.json", "requirements.lock"):
                    texts[name] = content.read()
                    content.seek(0)
                found[name] = _digest(content)
            while rest := stream.read(CHUNK):
                if rest.strip(b"\0"):
                    raise RefusedError("bundle-damaged", "The bundle has data after its end.")
    except DAMAGE as failure:
        raise RefusedError(
            "bundle-damaged",
            f"The bundle is cut or damaged: {failure or type(failure).__name__}.",
            "Build it again.",
        ) from None
    if "manifest.json" not in found:
        raise RefusedError("bundle-manifest", "The bundle has no manifest.json.")
    manifest = parse(texts["manifest.json"], app)
    del found["manifest.json"]
    _compare(manifest.files, found)
    return manifest, parse_lock(texts["requirements.lock"])


def _opened(spool: Path) -> gzip.GzipFile | BufferedReader:
    """The archive, which may be compressed."""
    with spool.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(spool) if packed else spool.open("rb")


def _checked_members(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """Each member that may be unpacked, with its name; the first that may not ends it."""
    seen: set[str] = set()
    total = 0
    for member in archive:
        name = _checked_name(member)
        total += member.size
        if name in seen:
            raise _member_error(name, "is there twice")
        if len(seen) >= MAX_MEMBERS or total > MAX_UNPACKED_BYTES:
            raise _member_error(name, f"exceeds {MAX_MEMBERS} members or {MAX_UNPACKED_BYTES} bytes unpacked")
        if not name.endswith(".whl") and member.size > MAX_TEXT_BYTES:
            raise _member_error(name, f"is larger than {MAX_TEXT_BYTES} bytes")
        seen.add(name)
        yield member, name


def _checked_name(member: tarfile.TarInfo) -> str:
    name = member.name
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or name != str(path):
        raise _member_error(name, "has a path that leads out of the release or is not in its plain form")
    if member.mode & 0o7000:
        raise _member_error(name, f"has a setuid, setgid or sticky bit (mode {member.mode:o})")
    if member.type == tarfile.DIRTYPE and name in DIRECTORIES:
        return name
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        kind = (
            "a link"
            if member.issym() or member.islnk()
            else "a directory"
            if member.isdir()
            else "a special file"
        )
        raise _member_error(
            name, f"is {kind}; only plain files and the directories app and wheelhouse are taken"
        )
    if not MEMBER.fullmatch(name):
        raise _member_error(name, "does not belong in a bundle")
    return name


def _compare(listed: dict[str, tuple[str, int]], found: dict[str, tuple[str, int]]) -> None:
    problems = [f"{name} is not in the manifest" for name in sorted(found.keys() - listed.keys())]
    problems += [f"{name} is missing" for name in sorted(listed.keys() - found.keys())]
    problems += [
        f"{name} differs from its checksum"
        for name in sorted(found.keys() & listed.keys())
        if found[name] != listed[name]
    ]
    if problems:
        raise RefusedError(
            "bundle-content",
            f"The bundle does not hold what its manifest lists: {'; '.join(problems[:5])}.",
            problems=problems,
        )


def _digest(content: IO[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := content.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def unpack(spool: Path, paths: Collection[str], destination: Path) -> None:
    """Writes these files of an inspected bundle under destination, a new private directory."""
    destination.mkdir(mode=0o755)
    for directory in sorted(DIRECTORIES):
        (destination / directory).mkdir()
    with _opened(spool) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name in paths else None
            if content is not None:
                with (destination / member.name).open("xb") as target:
                    shutil.copyfileobj(content, target)


def _member_error(name: str, reason: str) -> RefusedError:
    return RefusedError("bundle-member", f"The bundle's member {name!r} {reason}.")
