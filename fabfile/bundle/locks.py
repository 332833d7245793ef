"""What a service pins: its requirements.lock, requirements.txt or uv.lock, as the pins with hashes that a bundle has.

Hosts take nothing but pins with sha256 hashes. A file without hashes gets those of the wheels that pip picks when it is
built first, which are kept: whoever builds trusts the index that once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from fabfile.bundle import wheels
from fabfile.bundle.host_rules import SlipwayError, requirements
from fabfile.bundle.wheels import Target
from fabfile.errors import BuildError

LOCK, TEXT, UV = "requirements.lock", "requirements.txt", "uv.lock"
EXPORT = (
    "uv",
    "export",
    "--frozen",
    "--no-dev",
    "--no-emit-project",
    "--no-annotate",
    "--no-header",
    "--quiet",
)
SERVER = "uvicorn"


def found(service: Path) -> Path:
    """The first of the three that is there. Raises BuildError."""
    for name in (LOCK, TEXT, UV):
        if (service / name).is_file():
            return service / name
    raise BuildError(
        f"{service.name}/ has no {LOCK}, no {TEXT} and no {UV}: every package of a release is pinned. Nothing was "
        f"built. Lock it: uv pip compile --generate-hashes pyproject.toml -o {LOCK}"
    )


def read(service: Path, targets: Sequence[Target], cache: Path) -> str:
    """The pins, one logical line each, with hashes. Raises BuildError for what is none."""
    path = found(service)
    text = _exported(path) if path.name == UV else _text(path)
    lines = logical_lines(text)
    for line in lines:
        _check(path.name, line)
    if all(" --hash=" in line for line in lines):
        pins = text
    elif any(" --hash=" in line for line in lines):
        bare = next(line for line in lines if " --hash=" not in line)
        raise BuildError(
            f"{path.name} has hashes, and none for {bare[:80]!r}. Lock it anew. Nothing was built."
        )
    else:
        pins = _hashed(lines, targets, cache)
    try:
        requirements.parse(pins.encode())
    except (SlipwayError, UnicodeEncodeError) as refusal:
        said = str(refusal).replace(LOCK, path.name)
        raise BuildError(f"A host would not take it: {said} Nothing was built.") from None
    return pins


def require_server(pins: str) -> None:
    """Raises BuildError where nothing starts the application."""
    names = {
        canonicalize_name(Requirement(line.partition(" --hash=")[0]).name) for line in logical_lines(pins)
    }
    if SERVER not in names:
        raise BuildError(
            f"The lock pins no {SERVER}, which starts the service. Nothing was built. Add it, and lock."
        )


def logical_lines(text: str) -> list[str]:
    """Without comments and empty ones, continued ones joined."""
    joined = text.replace("\\\n", " ").splitlines()
    bare = (line if not line.lstrip().startswith("#") else "" for line in joined)
    return [" ".join(line.partition(" #")[0].split()) for line in bare if line.partition(" #")[0].strip()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as failure:
        raise BuildError(f"{path.name} cannot be read: {failure}. Nothing was built.") from None


def _check(name: str, line: str) -> None:
    if line.startswith("-"):
        raise BuildError(
            f"{name} has {line[:80]!r}, an option of pip: a lock is pins alone, and the index is the one that pip is "
            "configured with. Nothing was built. Take the line out."
        )
    try:
        requirement = Requirement(line.partition(" --hash=")[0])
    except InvalidRequirement:
        requirement = None
    if requirement is None or requirement.url or [each.operator for each in requirement.specifier] != ["=="]:
        raise BuildError(
            f"{name} has {line[:80]!r}, which pins no version: name==1.2.3. Nothing was built. Lock it: uv pip compile "
            f"--generate-hashes pyproject.toml -o {LOCK}"
        )


def _exported(path: Path) -> str:
    if shutil.which("uv") is None:
        raise BuildError(
            f"The service has a {UV} alone, and this machine has no uv to read it. Nothing was built. Where it is: "
            f"{' '.join(EXPORT)} -o {LOCK}"
        )
    done = subprocess.run(EXPORT, cwd=path.parent, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise BuildError(f"uv does not read {UV}; nothing was built. It said:\n{done.stderr.strip()[-800:]}")
    return done.stdout


def _hashed(lines: Sequence[str], targets: Sequence[Target], cache: Path) -> str:
    """The same with the hashes of what pip picks for each target; asked once, so that a commit gives the same bytes."""
    words = "\n".join([*lines, *map(str, sorted(targets))])
    kept = cache.with_name("pinned") / f"{hashlib.sha256(words.encode()).hexdigest()[:24]}.lock"
    if kept.is_file():
        return kept.read_text(encoding="ascii")
    hashes: dict[str, set[str]] = {}
    for target in targets:
        for wheel, digest in wheels.unhashed("\n".join(lines), target, cache).items():
            name = canonicalize_name(parse_wheel_filename(wheel)[0])
            hashes.setdefault(name, set()).add(f"--hash=sha256:{digest}")
    pins = [
        " ".join([line, *sorted(hashes[name])])
        for line in lines
        if (name := canonicalize_name(Requirement(line).name)) in hashes
    ]
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_name(f".{kept.name}.{os.getpid()}")
    partial.write_text("\n".join([*pins, ""]), encoding="ascii")
    os.replace(partial, kept)
    return kept.read_text(encoding="ascii")
