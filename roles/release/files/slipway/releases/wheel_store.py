"""The wheels that releases here were built of, each by its checksum: what is here need not be shipped again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from slipway.host import Host
from slipway.releases.manifest import WHEELHOUSE, Manifest

CHUNK = 1 << 20


def place(host: Host, sha256: str) -> Path:
    """sha256: 64 hexadecimal digits."""
    return host.wheels / f"{sha256}.whl"


def lacking(host: Host, manifest: Manifest) -> set[str]:
    """The paths of the bundle's wheels that are not kept here."""
    return {path for path in manifest.shared_wheels if not place(host, manifest.files[path][0]).exists()}


def read(host: Host, sha256: str, missing: list[str]) -> Iterator[bytes]:
    """The bytes of a wheel. One that is not here, or is not what its name says any more, is named in missing."""
    path, digest = place(host, sha256), hashlib.sha256()
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                yield chunk
    except FileNotFoundError:
        missing.append(sha256)
        return
    if digest.hexdigest() != sha256:
        path.unlink()
        missing.append(sha256)


def keep(host: Host, manifest: Manifest, bundle: Path) -> None:
    """Takes over the wheels that were unpacked from an inspected bundle."""
    for path in manifest.shared_wheels:
        if (bundle / path).exists():
            (bundle / path).rename(place(host, manifest.files[path][0]))


def unneeded(host: Host, manifests: Iterable[dict[str, Any]]) -> list[Path]:
    """The wheels that none of the releases with these manifests was built of."""
    needed = {
        f"{entry['sha256']}.whl"
        for manifest in manifests
        for path, entry in manifest["files"].items()
        if path.startswith(WHEELHOUSE)
    }
    return sorted(path for path in host.wheels.glob("*") if path.name not in needed)
