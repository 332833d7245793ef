"""The wheels of a bundle: the service's own, and for each target exactly what requirements.lock pins.

All come through a folder that keeps them, so the second build downloads nothing and works without a network.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib
from packaging.requirements import Requirement

from fabfile.errors import BuildError

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


def third_party(lock: Path, targets: Iterable[Target], cache: Path) -> dict[str, Path]:
    """The wheels of lock for every target, by file name, each checked against the lock's hashes."""
    found: dict[str, Path] = {}
    for target in targets:
        with tempfile.TemporaryDirectory() as scratch:
            wanted = Path(scratch, "requirements.txt")
            wanted.write_text(requirements_for(lock.read_text(encoding="utf-8"), target), encoding="utf-8")
            options = ["--no-deps", "--require-hashes", *target.pip_options(), "-r", str(wanted)]
            names = _through_cache(cache, options, f"a wheel for {target}")
        found.update({name: cache / name for name in names})
    return found


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
            "Pin a version that has one in service/requirements.in and lock again, or leave that target out."
        )
    tail = "\n".join(said.strip().splitlines()[-5:])
    return BuildError(f"pip could not fetch {what}. No bundle was written. It said:\n{tail}")


def service_wheel(source: Path, cache: Path, epoch: int, destination: Path) -> Path:
    """Builds the service's wheel into destination. epoch: seconds, the time its files carry."""
    with (source / "pyproject.toml").open("rb") as stream:
        needs = tomllib.load(stream).get("build-system", {}).get("requires", ["setuptools"])
    if needs:
        _through_cache(cache, ["--only-binary=:all:", *needs], f"the build backend ({', '.join(needs)})")
    options = ["--no-deps", "--no-index", f"--find-links={cache}", f"--wheel-dir={destination}"]
    done = _pip("wheel", *options, str(source), epoch=epoch)
    built = sorted(destination.glob("*.whl"))
    if done.returncode or len(built) != 1:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BuildError(f"The service's wheel could not be built. No bundle was written. pip said:\n{tail}")
    if not built[0].name.endswith("-none-any.whl"):
        raise BuildError(
            f"The service built {built[0].name}, which fits one system only; it must be pure Python."
        )
    return built[0]


def _pip(*arguments: str, epoch: int | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if epoch is not None:
        environment |= {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", *arguments]
    # The umask is part of a wheel's bytes: it decides the modes of the files in it.
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, umask=0o022
    )


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
