"""A program for hosts as one file: a zip application with the same bytes for the same source, anywhere.

The roles put it on hosts (`program:` in plugins/action/host_files.py); it imports nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "roles/release/files/slipway"
# -I: neither the caller's environment nor its directory decides what root imports.
SHEBANG = b"#!/usr/bin/python3 -I\n"
UNPACKED = Path(__file__).with_name("unpacked.py")
MAIN = """import unpacked

unpacked.prefer("{package}", "{digest}")

import {package}
from {package}.cli import main

{package}.DIGEST = "{digest}"

raise SystemExit(main())
"""
DIGEST_DIGITS = 16
# The earliest time a zip entry can carry.
TIME = (1980, 1, 1, 0, 0, 0)


def _modules(source: Path) -> dict[str, bytes]:
    modules = {path.relative_to(source.parent).as_posix(): path.read_bytes() for path in source.rglob("*.py")}
    return {**modules, "unpacked.py": UNPACKED.read_bytes()}


def digest(source: Path = SOURCE) -> str:
    """The version of a program: the same for the same source, and in the name of its unpacked copy on a host."""
    return hashlib.sha256(repr(sorted(_modules(source).items())).encode()).hexdigest()[:DIGEST_DIGITS]


def build_helper(source: Path = SOURCE) -> bytes:
    """The program of the package directory source, ready to be installed with mode 0755."""
    modules = _modules(source)
    if f"{source.name}/cli.py" not in modules:
        raise FileNotFoundError(f"{source} is not a program's package: it has no cli.py")
    modules["__main__.py"] = MAIN.format(package=source.name, digest=digest(source)).encode()
    content = io.BytesIO()
    content.write(SHEBANG)
    # Stored, not deflated: compressed bytes differ from one zlib to the next.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(modules.items()):
            compile(data, name, "exec")
            entry = zipfile.ZipInfo(name, TIME)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return content.getvalue()
