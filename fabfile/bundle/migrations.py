"""Where a service's migrations are, and how those that no wheel of its own has come into a release.

`alembic init` puts them beside the package. They become a wheel of their own then, a package with that folder in it, so
that in a release all migrations are called "package:folder".
"""

from __future__ import annotations

import base64
import hashlib
import io
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fabfile.errors import BuildError

# What of the folder is no part of it.
LEFT_OUT = ("__pycache__",)


def folder(tree: Path, declared: Mapping[str, Any]) -> Path | None:
    """The folder with env.py and versions/; None for a service that has none. Raises BuildError where it is not."""
    if "migrations" not in declared:
        # Before a service said what it is, it had them here.
        return tree / "migrations" if "application" not in declared else None
    package, colon, name = str(declared["migrations"]).partition(":")
    inside = package.replace(".", "/")
    places = [f"{inside}/{name}", f"src/{inside}/{name}", name] if colon else [package]
    for place in places:
        if (tree / place / "versions").is_dir():
            return tree / place
    raise BuildError(
        f"[tool.slipway] migrations is {declared['migrations']!r}, and there is no folder versions/ in "
        f"{' or '.join(places)}. Nothing was built."
    )


def is_outside(declared: Mapping[str, Any]) -> bool:
    """Whether it is a folder beside the package, which its wheel does not have."""
    return ":" not in str(declared.get("migrations", ":"))


def released(app: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    """The declaration as a release has it."""
    if not is_outside(declared):
        return dict(declared)
    return {**declared, "migrations": f"{package_of(app)}:{Path(str(declared['migrations'])).name}"}


def package_of(app: str) -> str:
    return f"{app}_slipway_migrations"


def wheel(app: str, place: Path, epoch: int) -> tuple[str, bytes]:
    """File name and bytes of the wheel that has the folder at place. epoch: seconds, the time its files carry."""
    package = package_of(app)
    info = f"{package}-0.dist-info"
    content = {f"{package}/__init__.py": b""}
    for path in sorted(place.rglob("*")):
        if path.is_file() and not path.is_symlink() and not set(path.parts) & {*LEFT_OUT}:
            content[f"{package}/{place.name}/{path.relative_to(place)}"] = path.read_bytes()
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {package}\nVersion: 0\n".encode()
    content[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: slipway\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    packed, moment = io.BytesIO(), time.gmtime(epoch)[:6]
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            member = zipfile.ZipInfo(name, moment)
            member.external_attr = 0o644 << 16
            archive.writestr(member, data, zipfile.ZIP_DEFLATED)
    return f"{package}-0-py3-none-any.whl", packed.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
