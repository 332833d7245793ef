"""What releases share: a virtual environment for each lock, built once, never changed, and checked before it is used.

environments/<name>/venv is the environment, environment.json beside it says what was built: every file with its
checksum. It is written last, into a folder that then takes its place whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from slipway.files import create_file, exchange, fsync_directory, remove, sync_disk_of
from slipway.host import Host
from slipway.releases import builder, interpreter, requirements
from slipway.releases.requirements import Pin
from slipway.turns.session import Session

RECORD = "environment.json"
CHUNK = 1 << 20
# One pip run for all, and the host's Python compiles: code of a wheel just installed is run by neither.
PROGRAM = (
    f'{builder.VENV}"$1/venv/bin/python" -I -c "$2" "$3" "${{@:5}}" || exit; exec "$0" -I -c "$4" "$1/venv"'
)
# On all cores, which pip does not. What is no Python of this version stays as it is, as with pip.
COMPILING = """\
import compileall, os, sys
compileall.compile_dir(sys.argv[1], quiet=2, workers=min(8, os.cpu_count() or 1))
"""
INSTALLER = f'"$0" -I -m venv "$1/venv" || exit {builder.NO_VENV}'


def name_of(host: Host, pins: Sequence[Pin]) -> str:
    """The name of the environment for these pins and this host's Python, the same for every release that has them."""
    said = {**_interpreter(host), "pins": sorted(pin.line() for pin in pins)}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def _interpreter(host: Host) -> dict[str, str]:
    python = interpreter.of(host)
    return {"python": python.version, "path": python.path, "machine": host.machine()}


def complaint(host: Host, name: str) -> str:
    """Why the environment cannot be used, in words that follow its name; empty when it is as it was built."""
    folder = host.environments / name
    if not folder.is_dir() or not any(folder.iterdir()):
        return "was not there yet"
    try:
        built = json.loads((folder / RECORD).read_bytes())["files"]
        found = dict(_contents(folder / "venv"))
    except (OSError, ValueError, KeyError, TypeError) as failure:
        return f"cannot be read ({failure})"
    if not isinstance(built, dict):
        return f"has a damaged {RECORD}"
    wrong = [f"{path} is missing" for path in built.keys() - found.keys()]
    wrong += [f"{path} was added" for path in found.keys() - built.keys()]
    wrong += [f"{path} was changed" for path in built.keys() & found.keys() if built[path] != found[path]]
    return f"is not as it was built: {', '.join(sorted(wrong)[:3])}" if wrong else ""


def installer(session: Session, release: str, scratch: Path) -> Path:
    """The folder that the host's pip is in: an environment without a pin, made once for each Python.

    Making one takes as long as installing many services, so that what is built for releases has none.
    """
    name = name_of(session.host, ())
    if complaint(session.host, name):
        place = session.host.environments / name
        _make(session, release, name, (), scratch, [INSTALLER, interpreter.of(session.host).path, str(place)])
    (library,) = (session.host.environments / name / "venv").glob("lib/python3*/site-packages")
    return library


def build(session: Session, release: str, name: str, pins: Sequence[Pin], scratch: Path) -> None:
    """Makes the environment of the wheels in scratch/bundle/wheelhouse, or makes it anew in the place of a damaged one.

    What runs in it meanwhile keeps the files it has open, and finds the same in the new one.
    """
    library, place = installer(session, release, scratch), session.host.environments / name
    (scratch / "bundle/pins.txt").write_text(requirements.render(pins), encoding="ascii")
    _make(session, release, name, pins, scratch, making(interpreter.of(session.host).path, place, library))


def making(python: str, place: Path, library: Path, compiling: str = COMPILING) -> list[str]:
    """What bash -c is given to make place/venv of place/bundle: wheelhouse/, and pins.txt. library: where pip is."""
    pip = [builder.PIP, str(library), compiling, *builder.INSTALL, "--no-compile"]
    install = [f"--find-links={place}/bundle/wheelhouse", "-r", f"{place}/bundle/pins.txt"]
    return [PROGRAM, python, str(place), *pip, *install]


def _make(
    session: Session, release: str, name: str, pins: Sequence[Pin], scratch: Path, words: Sequence[str]
) -> None:
    """words: what bash -c is given."""
    place, new = session.host.environments / name, scratch / "environment"
    place.mkdir(mode=0o755, exist_ok=True)
    built = builder.build(session, release, scratch, place, words)
    new.mkdir(mode=0o755)
    built.rename(new / "venv")
    record = {
        **_interpreter(session.host),
        "pins": [pin.line() for pin in pins],
        "files": dict(_contents(new / "venv")),
    }
    # All of it must be on the disk before the folder is what releases use.
    sync_disk_of(session.host.environments)
    create_file(new / RECORD, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
    fsync_directory(new)
    if any(place.iterdir()):
        exchange(new, place)
        remove(new)
    else:
        new.rename(place)
    fsync_directory(session.host.environments)


def half_built(host: Host) -> list[Path]:
    """What a killed run left in the place of an environment."""
    return sorted(path for path in host.environments.glob("*") if not (path / RECORD).exists())


def unneeded(host: Host, manifests: Iterable[dict[str, Any]]) -> list[Path]:
    """The environments that none of the releases with these manifests has."""
    needed = {manifest.get("environment") for manifest in manifests} | {name_of(host, ())}
    return sorted(path for path in host.environments.glob("*") if path.name not in needed)


def take_away(paths: Iterable[Path]) -> None:
    """Removes environments; whatever a kill leaves of one is half-built."""
    for path in paths:
        (path / RECORD).unlink(missing_ok=True)
        fsync_directory(path)
        remove(path)


def _contents(tree: Path) -> Iterator[tuple[str, str]]:
    """Every file and link below tree: its path there, and its sha256 or where it points."""
    for directory, folders, files in os.walk(tree, onerror=_raise):
        for name in (*folders, *files):
            path = os.path.join(directory, name)
            if os.path.islink(path):
                yield os.path.relpath(path, tree), f"-> {os.readlink(path)}"
            elif name in files:
                yield os.path.relpath(path, tree), _sha256(path)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _raise(failure: OSError) -> None:
    raise failure
