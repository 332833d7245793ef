"""Bringing a bundle to hosts, over the SSH connection that is there: no registry, no index, no network of theirs.

A host keeps the wheels of its releases: those are only named, and it puts the bundle together, byte for byte.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path

from fabfile.bundle.archive import Bundle
from fabfile.errors import RefusedError
from fabfile.hosts.answers import Answer
from fabfile.hosts.connection import Remote
from fabfile.hosts.fleet import refusal
from fabfile.report import Report
from fabfile.turn.lease import Lease

SECONDS = 600.0
CHUNK = 1 << 16


def ship(remote: Remote, bundle: Bundle, lease: Lease, report: Report) -> None:
    """Bring the bundle to one host and build the release there. Raises AnswerError when the host refuses it."""
    words = [f"--sha256={bundle.sha256}", f"--release={bundle.release}", *lease.words]
    if bundle.signature:
        words.append(f"--signature={bundle.signature}")
    answer, count = _shipped(remote, bundle.path, words)
    if not answer.ok:
        raise refusal(remote.name, answer)
    by = f", signed by {answer.result['signed_by']}" if answer.result.get("signed_by") else ""
    wrong = answer.result.get("environment_built")
    anew = f"; its environment {wrong}: it was built" if wrong else ""
    done = "built" if answer.changed else "is there already"
    report.done(remote.name, f"{bundle.release} {done}{by}, {count / 1e6:.1f} MB shipped{anew}")


def _shipped(remote: Remote, bundle: Path, words: list[str]) -> tuple[Answer, int]:
    """What the host said, and the bytes that went there."""
    if not _is_plain(bundle):
        return remote.ship(whole(bundle), words, SECONDS), bundle.stat().st_size
    sent: list[int] = []
    answer = remote.ship(_counted(parts(bundle), sent), ["--parts", *words], SECONDS)
    if answer.code == "wheels-missing":
        lacking = answer.details.get("missing") or []
        answer = remote.ship(_counted(parts(bundle, lacking), sent), ["--parts", *words], SECONDS)
    if answer.code == "usage":
        raise RefusedError(
            f"{remote.name}: its slipway is older than this fab and does not know what it was told ({answer.message}) "
            "Nothing was staged there. Type: ansible-playbook -i inventory/ENV site.yml"
        )
    return answer, sum(sent)


def whole(bundle: Path) -> Iterator[bytes]:
    """The bundle as it is."""
    with bundle.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def parts(bundle: Path, lacking: Collection[str] = ()) -> Iterator[bytes]:
    """The bundle as `slipway stage --parts` reads it. lacking: the sha256s of the wheels to be sent, not only named."""
    position = 0
    with bundle.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        members = archive.getmembers()
        files = json.load(archive.extractfile("manifest.json") or io.BytesIO(b"{}"))["files"]
        for member in members:
            digest = files.get(member.name, {}).get("sha256")
            # What is not as the manifest lists it goes as it is, and is refused there.
            if digest and digest not in lacking and digest == _sha256(archive, member):
                yield from _bytes(file, position, member.offset_data)
                yield f"wheel {digest}\n".encode()
                position = member.offset_data + member.size
        yield from _bytes(file, position, bundle.stat().st_size)


def _bytes(file: io.BufferedReader, start: int, end: int) -> Iterator[bytes]:
    yield f"bytes {end - start}\n".encode()
    file.seek(start)
    while start < end:
        chunk = file.read(min(CHUNK, end - start))
        start += len(chunk)
        yield chunk


def _sha256(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Of a wheel that a lock pins; "" for anything else."""
    content = archive.extractfile(member) if member.name.startswith("wheelhouse/") else None
    return hashlib.sha256(content.read()).hexdigest() if content else ""


def _counted(pieces: Iterator[bytes], sent: list[int]) -> Iterator[bytes]:
    for piece in pieces:
        sent.append(len(piece))
        yield piece


def _is_plain(bundle: Path) -> bool:
    """Whether it is not compressed, as older ones are."""
    with bundle.open("rb") as file:
        return file.read(2) != b"\x1f\x8b"
