"""A program for hosts as one file: a zip application with the same bytes for the same source, anywhere.

The roles put it on hosts (`program:` in plugins/action/host_files.py). It is a package that imports nothing but the
standard library; or, where the package has a program.json, the files and pure libraries that are named there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import zipfile
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "roles/release/files/slipway"
# -I: neither the caller's environment nor its directory decides what root imports.
SHEBANG = b"#!/usr/bin/python3 -I\n"
UNPACKED = Path(__file__).with_name("unpacked.py")
MAIN = """import unpacked

unpacked.prefer("{package}", "{digest}")

import {package}
from {program}.cli import main

{package}.DIGEST = "{digest}"

raise SystemExit(main())
"""
DIGEST_DIGITS = 16
# The earliest time a zip entry can carry.
TIME = (1980, 1, 1, 0, 0, 0)


def _program(source: Path) -> str:
    """The package that a program is started from, such as fabfile.database."""
    return str(_listed(source).get("program", source.name))


def _listed(source: Path) -> dict[str, Any]:
    listing = source / "program.json"
    return dict(json.loads(listing.read_text())) if listing.exists() else {}


def _modules(source: Path) -> dict[str, bytes]:
    listed = _listed(source)
    modules = {path.relative_to(source.parent).as_posix(): path.read_bytes() for path in source.rglob("*.py")}
    if listed:
        root = source.parents[len(_program(source).split(".")) - 1]
        paths = [path for pattern in listed["files"] for path in sorted(root.glob(pattern))]
        modules = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
        modules |= dict.fromkeys(listed["empty"], b"")
    for library in listed.get("libraries", []):
        modules |= _library(library)
    return {**modules, "unpacked.py": UNPACKED.read_bytes()}


def _library(name: str) -> dict[str, bytes]:
    """A pure library of the controller's own environment, as it is there."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"the library {name} is not installed here")
    origin = Path(found.origin)
    if origin.name != "__init__.py":
        return {origin.name: origin.read_bytes()}
    files = sorted(path for path in origin.parent.rglob("*.py"))
    return {path.relative_to(origin.parents[1]).as_posix(): path.read_bytes() for path in files}


def digest(source: Path = SOURCE) -> str:
    """The version of a program: the same for the same source, and in the name of its unpacked copy on a host."""
    return hashlib.sha256(repr(sorted(_modules(source).items())).encode()).hexdigest()[:DIGEST_DIGITS]


def build_helper(source: Path = SOURCE) -> bytes:
    """The program of the package directory source, ready to be installed with mode 0755."""
    modules = _modules(source)
    program = _program(source)
    if f"{program.replace('.', '/')}/cli.py" not in modules:
        raise FileNotFoundError(f"{source} is not a program's package: it has no cli.py")
    modules["__main__.py"] = MAIN.format(
        package=program.split(".")[0], program=program, digest=digest(source)
    ).encode()
    content = io.BytesIO()
    content.write(SHEBANG)
    # Stored, not deflated: compressed bytes differ from one zlib to the next.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(modules.items()):
            if name.endswith(".py"):
                compile(data, name, "exec")
            entry = zipfile.ZipInfo(name, TIME)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return content.getvalue()
