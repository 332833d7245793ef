"""Whether what a service declares is in what was built of it: a release that lacks it would be refused by its gate."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from fabfile.bundle import locks
from fabfile.errors import BuildError


def require(declared: Mapping[str, Any], files: Mapping[str, bytes], lock: str) -> None:
    """files: of a bundle, by their path in it. Raises BuildError that names what is missing."""
    locks.require_server(lock)
    own = sorted(name for data in wheels_of(files).values() for name in names(data))
    for key, where in needed(declared).items():
        if not any(name in own or _is_folder_of(name, own) for name in where):
            raise BuildError(
                f"[tool.slipway] {key} is {declared[key]!r}, and the wheel that was built of the service has no "
                f"{' and no '.join(where)}. Its build backend decides what is in it. Nothing was built."
            )


def needed(declared: Mapping[str, Any]) -> dict[str, list[str]]:
    """For each key that names something of the wheel: the files, or folders, of which it has to have one."""
    found = {}
    for key in ("application", "backfills"):
        if key in declared:
            found[key] = _module(str(declared[key]).partition(":")[0])
    for key, file in (("migrations", "env.py"), ("static", "")):
        package, colon, folder = str(declared.get(key, "")).partition(":")
        if colon:
            found[key] = [f"{PurePosixPath(package.replace('.', '/'), folder)}/{file}"]
    return found


def _is_folder_of(name: str, own: Sequence[str]) -> bool:
    return name.endswith("/") and any(each.startswith(name) for each in own)


def _module(name: str) -> list[str]:
    path = name.replace(".", "/")
    return [f"{path}.py", f"{path}/__init__.py"]


def wheels_of(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name.startswith("app/")}


def names(wheel: bytes) -> list[str]:
    """The files in a wheel, as they lie below site-packages."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return [name.partition(".data/purelib/")[2] or name for name in archive.namelist()]
