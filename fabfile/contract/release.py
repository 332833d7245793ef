"""A service as it would be on a host: built, installed under the host's Python, with the release's own start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fabfile.bundle import archive, contents, declaration, locks, migrations, own_wheels, source, wheels
from fabfile.bundle.host_rules import Declaration, starting
from fabfile.bundle.wheels import Target
from fabfile.errors import BuildError

# No build has this id.
NAME = "19700101T000000Z-0000000"
# Ubuntu 22.04's, which most hosts have.
WANTED = "3.10"
# Of a folder that git does not know: what is no source.
LEFT_OUT = (".venv", "venv", ".git", "__pycache__", "node_modules")


@dataclass(frozen=True)
class Release:
    """folder: as /srv/<app>/releases/<id> would be. service: the files that it was made of."""

    folder: Path
    service: Path
    app: str
    said: Declaration
    declared: dict[str, Any]

    @property
    def socket(self) -> Path:
        return self.folder / starting.SOCKET

    @property
    def start(self) -> Path:
        return self.folder / starting.NAME

    def program(self, name: str) -> Path:
        return self.folder / "venv/bin" / name


def python(wanted: str) -> tuple[str, str]:
    """(The interpreter of the version that hosts have, else the one at hand; its X.Y.)"""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    # pyenv has a Python under its full version.
    kept = sorted((Path.home() / ".pyenv/versions").glob(f"{wanted}.*/bin/python{wanted}"))
    for command in (f"python{wanted}", *map(str, kept[-1:]), sys.executable):
        try:
            done = subprocess.run(
                [command, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True
            )
        except OSError:
            continue
        if done.returncode == 0:
            return done.stdout.strip(), wanted if command != sys.executable else here
    return sys.executable, here


def place(scratch: Path) -> Path:
    """Where in scratch the service is copied to."""
    return scratch / "service"


def copied(service: Path, scratch: Path) -> Path:
    """The files of the service as they are, those of git or all, in scratch."""
    tree = place(scratch)
    tree.mkdir()
    if source.is_in_git(service):
        source.copy_changed(service, tree)
    else:
        shutil.copytree(
            service, tree, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*LEFT_OUT)
        )
    return tree


def made(service: Path, tree: Path, scratch: Path, interpreter: str, version: str, cache: Path) -> Release:
    """Builds and installs it below scratch. Raises BuildError as `fab build` would."""
    understood = declaration.understood(tree)
    app, declared = understood.app, understood.declared
    targets = [Target(version, os.uname().machine)]
    pins = locks.read(tree, targets, cache)
    found = scratch / "wheels"
    found.mkdir()
    epoch = int(datetime.now(UTC).timestamp())
    own = wheels.service_wheel(tree, cache.with_name("backend"), epoch, found)
    if "application" in declared:
        contents.require(declared, {f"app/{own.name}": own.read_bytes()}, pins)
    place = migrations.folder(tree, declared)
    installed = [own, *wheels.third_party(pins, targets, cache).values()]
    if place and migrations.is_outside(declared):
        name, data = migrations.wheel(app, place, epoch)
        (found / name).write_bytes(data)
        installed.append(found / name)
    if "migrations" in declared:
        installed.append(_migrator(service, cache, found))
    released = migrations.released(app, declared)
    folder = scratch / "release"
    _installed(folder / "venv", interpreter, installed)
    said = Declaration.of(app, released)
    release = Release(folder, tree, app, said, declared)
    (folder / "manifest.json").write_text(json.dumps({"app": app, "service": released}), encoding="utf-8")
    text = starting.program(app, folder / "venv", release.socket, NAME, said)
    release.start.write_text(text, encoding="utf-8")
    release.start.chmod(starting.MODE)
    return release


def _migrator(service: Path, cache: Path, found: Path) -> Path:
    apart = found / "migrator"
    apart.mkdir()
    return own_wheels.migrator(service, "HEAD", True, archive.PROJECT, cache, apart)


def _installed(venv: Path, interpreter: str, chosen: list[Path]) -> None:
    done = subprocess.run(
        [interpreter, "-m", "venv", "--without-pip", str(venv)], capture_output=True, text=True
    )
    if done.returncode == 0:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--no-input",
            "--disable-pip-version-check",
            f"--python={venv}/bin/python",
        ]
        words = ["install", "--quiet", "--no-index", "--no-deps", "--no-compile", *map(str, chosen)]
        done = subprocess.run([*pip, *words], capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise BuildError(f"The release could not be installed under {interpreter}:\n{tail}")
