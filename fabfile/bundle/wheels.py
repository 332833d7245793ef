"""The wheels of a bundle: the service's own, and for each target exactly what requirements.lock pins.

All come through a folder that keeps them, so the second build downloads nothing and works without a network. What pip
picked for a lock, and the environment of a build backend, are kept too: pip is asked once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib
from packaging.requirements import Requirement

from fabfile.errors import BuildError

# What PEP 517 asks of a build backend, without the second that pip takes to ask it. argv: folder, backend, its paths.
HOOK = """\
import functools, importlib, os, sys
folder, name, *paths = sys.argv[1:]
sys.path[:0] = map(os.path.abspath, paths)
module, _, attributes = name.partition(":")
backend = functools.reduce(getattr, filter(None, attributes.split(".")), importlib.import_module(module))
backend.build_wheel(folder)
"""
# The oldest C library a wheel is built for, up to the one of Ubuntu 22.04 (glibc 2.35).
GLIBC_MINORS = range(35, 4, -1)


@dataclass(frozen=True, order=True)
class Target:
    """The hosts a bundle is for. python: X.Y. machine: what `uname -m` says."""

    python: str
    machine: str

    def __str__(self) -> str:
        return f"Python {self.python} on {self.machine}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Reads 3.10:x86_64."""
        found = re.fullmatch(r"(3\.\d{1,2}):(x86_64|aarch64)", text.strip())
        if not found:
            raise BuildError(f"{text!r} is not a target. One looks like 3.10:x86_64 or 3.11:aarch64.")
        return cls(found[1], found[2])

    def pip_options(self) -> list[str]:
        options = ["--only-binary=:all:", f"--python-version={self.python}", "--implementation=cp"]
        platforms = [f"manylinux_2_{minor}_{self.machine}" for minor in GLIBC_MINORS]
        platforms += [f"manylinux2014_{self.machine}", f"linux_{self.machine}"]
        return options + [f"--platform={platform}" for platform in platforms]

    def markers(self) -> dict[str, str]:
        return {
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "platform_machine": self.machine,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "os_name": "posix",
        }


def requirements_for(lock: str, target: Target) -> str:
    """The lines of a lock file that apply to target, without markers: pip judges those by its own Python."""
    kept = []
    for line in lock.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        pin, _, hashes = line.partition(" --hash=")
        if not line:
            continue
        requirement = Requirement(pin)
        if requirement.marker is None or requirement.marker.evaluate(target.markers()):
            kept.append(f"{pin.partition(';')[0].strip()} --hash={hashes}")
    return "\n".join(kept) + "\n"


def third_party(lock: str, targets: Iterable[Target], cache: Path) -> dict[str, Path]:
    """The wheels of a lock for every target, by file name, each checked against the lock's hashes."""
    found = {}
    for target in targets:
        pins = requirements_for(lock, target).splitlines()
        records = {pin: cache.with_name("picked") / _digest(pin, *target.pip_options()) for pin in pins}
        names = {pin: _kept(record, pin, cache) for pin, record in records.items()}
        if lacking := [pin for pin, name in names.items() if not name]:
            picked = _picked(lacking, target, cache)
            for pin in lacking:
                names[pin] = next(name for name, digest in picked.items() if f"--hash=sha256:{digest}" in pin)
                _keep(records[pin], names[pin])
        found.update({name: cache / name for name in names.values()})
    return found


def unhashed(pins: str, target: Target, cache: Path) -> dict[str, str]:
    """The wheels that the index has of pins without hashes, by name, with their checksums."""
    wanted = requirements_for(pins, target).replace(" --hash=\n", "\n").splitlines()
    return _picked(wanted, target, cache, hashes=())


def _picked(
    pins: Sequence[str], target: Target, cache: Path, hashes: Sequence[str] = ("--require-hashes",)
) -> dict[str, str]:
    """What pip picks for these pins, by name, with its checksum."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "requirements.txt")
        file.write_text("\n".join(pins), encoding="utf-8")
        options = ["--no-deps", *hashes, *target.pip_options(), "-r", str(file)]
        return {
            name: sha256(cache / name) for name in _through_cache(cache, options, f"a wheel for {target}")
        }


def _kept(record: Path, pin: str, cache: Path) -> str:
    """What pip picked for this pin before, when it is there and has one of its hashes still; empty otherwise."""
    try:
        name = record.read_text(encoding="utf-8")
        return name if f"--hash=sha256:{sha256(cache / name)}" in pin else ""
    except (OSError, ValueError):
        return ""


def _keep(record: Path, name: str) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    partial = record.with_name(f".{record.name}.{os.getpid()}")
    partial.write_text(name, encoding="utf-8")
    os.replace(partial, record)


def _digest(*words: str) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:24]


def _through_cache(cache: Path, options: Sequence[str], what: str) -> list[str]:
    """The wheels pip picks, from the folder alone when it has them all, else from the configured index."""
    cache.mkdir(parents=True, exist_ok=True)
    for source in (["--no-index"], []):
        with tempfile.TemporaryDirectory(dir=cache.parent) as chosen:
            done = _pip("download", *source, f"--find-links={cache}", f"--dest={chosen}", *options)
            if done.returncode == 0:
                picked = sorted(Path(chosen).iterdir())
                for path in picked:
                    os.replace(path, cache / path.name)
                return [path.name for path in picked]
    raise _download_error(done.stderr, what)


def _download_error(said: str, what: str) -> BuildError:
    missing = re.search(r"No matching distribution found for (\S+)", said)
    if missing:
        return BuildError(
            f"The package index has no {missing[1]} that is {what}. No bundle was written. "
            "Pin a version that has one and lock again, or leave that target out."
        )
    tail = "\n".join(said.strip().splitlines()[-5:])
    return BuildError(f"pip could not fetch {what}. No bundle was written. It said:\n{tail}")


def service_wheel(source: Path, cache: Path, epoch: int, destination: Path) -> Path:
    """Builds the service's wheel into destination. epoch: seconds, the time its files carry."""
    with (source / "pyproject.toml").open("rb") as stream:
        system = tomllib.load(stream).get("build-system", {})
    python = _backend(system.get("requires", ["setuptools"]), cache)
    name = system.get("build-backend", "setuptools.build_meta:__legacy__")
    command = [str(python), "-sP", "-c", HOOK, str(destination), name, *system.get("backend-path", [])]
    environment = {word: value for word, value in os.environ.items() if not word.startswith("PYTHON")}
    environment |= {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"}
    # The umask is part of a wheel's bytes: it decides the modes of the files in it.
    done = _ran(command, umask=0o022, cwd=source, env=environment)
    built = sorted(destination.glob("*.whl"))
    if done.returncode or len(built) != 1:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BuildError(
            f"The service's wheel could not be built. No bundle was written. {name} said:\n{tail}"
        )
    if not built[0].name.endswith("-none-any.whl"):
        raise BuildError(
            f"The service built {built[0].name}, which fits one system only; it must be pure Python."
        )
    return built[0]


def _backend(needs: Sequence[str], cache: Path) -> Path:
    """The Python of an environment that has the build backend and nothing else, made at its first use."""
    made = cache.with_name("backends") / _digest(sys.version, *needs)
    if not made.is_dir():
        made.parent.mkdir(parents=True, exist_ok=True)
        what = f"the build backend ({', '.join(needs)})"
        if needs:
            _through_cache(cache, ["--only-binary=:all:", *needs], what)
        with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
            new = Path(scratch, "backend")
            venv.create(new, symlinks=True)
            options = ["--no-index", f"--find-links={cache}", "--only-binary=:all:"]
            done = _pip("install", *options, *needs, python=new / "bin/python") if needs else None
            if done and done.returncode:
                raise _download_error(done.stderr, what)
            # Another build may have been quicker.
            with suppress(OSError):
                os.rename(new, made)
    return made / "bin/python"


def _pip(*arguments: str, python: Path | None = None) -> subprocess.CompletedProcess[str]:
    """python: the interpreter that it works for, another one than this."""
    command = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check"]
    command += [*([f"--python={python}"] if python else []), *arguments]
    return _ran(command)


def _ran(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
