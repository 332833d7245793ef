"""The repository's own files and YAML, for the tests beside this module."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
OUR_PLUGINS = {path.stem for part in ("action", "modules") for path in (ROOT / "plugins" / part).glob("*.py")}


@cache
def files() -> tuple[Path, ...]:
    """Every file that is in the repository, or would be with the next `git add`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = {ROOT / name for name in listed.split("\0") if name}
    return tuple(sorted(path for path in found if path.is_file() and not path.is_symlink()))


def below(*folders: str, suffix: str) -> list[Path]:
    """Files of a kind below folders of the repository."""
    starts = tuple(ROOT / folder for folder in folders)
    return [path for path in files() if path.suffix == suffix and any(path.is_relative_to(s) for s in starts)]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def defaults(role: str) -> dict[str, Any]:
    return dict(load(ROOT / "roles" / role / "defaults/main.yml") or {})


def specification(role: str) -> dict[str, Any]:
    """{entry point: its specification} of a role."""
    return dict(load(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"])


def options(role: str) -> dict[str, dict[str, Any]]:
    return dict(specification(role)["main"]["options"])


def tasks(path: Path) -> Iterator[dict[str, Any]]:
    """Every task of a file, those in blocks too, and the blocks themselves."""

    def walk(listed: Any) -> Iterator[dict[str, Any]]:
        for task in listed or []:
            yield task
            for part in ("block", "rescue", "always"):
                yield from walk(task.get(part))

    yield from walk(load(path))


def role_tasks(role: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    for folder in ("tasks", "handlers"):
        for path in sorted((ROOT / "roles" / role / folder).glob("*.yml")):
            for task in tasks(path):
                yield path, task
