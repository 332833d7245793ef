"""What an image is built from: a bundle, taken apart and installed by the words with which a host installs it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

from fabfile.bundle import archive
from fabfile.bundle.archive import Bundle
from fabfile.bundle.host_rules import (
    Declaration,
    Manifest,
    Pin,
    SlipwayError,
    bundle_archive,
    environment,
    overlay,
    requirements,
    starting,
)
from fabfile.errors import RefusedError

RECIPES = archive.PROJECT / "containers"
CONTAINERFILE = RECIPES / "Containerfile"
# Where things are in an image. They are the same for every service and release, as no path on a host is.
ENVIRONMENT, RELEASE, INSTALLER = Path("/srv/environment"), Path("/srv/release"), Path("/srv/installer")
PORT = 8000
# Of every file in every layer, 1980 in UTC: a layer's bytes are those of its files alone.
TIME = 315532800
# Good whatever the time of its source is, which is another one in a layer. argv: the venv.
COMPILING = """\
import compileall, os, py_compile, sys
compileall.compile_dir(
    sys.argv[1], quiet=2, force=True, workers=min(8, os.cpu_count() or 1),
    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
)
"""
INSTALL = """\
# fab image wrote this, with what slipway says to pip on a host.
set -euo pipefail
export PIP_CONFIG_FILE=/dev/null PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
python=$(python3 -c 'import sys; print(sys.executable)')
{commands}
"""
TARGET = """\
here=$(python3 -c 'import os, sys; print(f"{{sys.version_info[0]}}.{{sys.version_info[1]}}:{{os.uname().machine}}")')
case " {targets} " in
  *" $here "*) ;;
  *) echo "The bundle is built for {targets}; this base has $here. For it: fab image --targets $here" >&2
     exit 1 ;;
esac
"""
PROGRAM = """\
if ! [ -x {path} ]; then
  echo {sentence} >&2
  exit 1
fi
"""


def write(bundle: Bundle, folder: Path) -> Manifest:
    """Fills the empty folder. Raises RefusedError for a bundle that a host would not take."""
    try:
        manifest, pins = bundle_archive.inspect(bundle.path, bundle.app)
    except SlipwayError as failure:
        raise RefusedError(f"{bundle.path}: {failure} Nothing was built.") from None
    for name in ("environment", "release"):
        (folder / name).mkdir()
    for name, paths, place in (
        ("shared", manifest.shared_wheels, "environment"),
        ("own", manifest.own_wheels, "release"),
    ):
        bundle_archive.unpack(bundle.path, paths, folder / name)
        (folder / name).rename(folder / place / "bundle")
    _environment(manifest, pins, folder / "environment")
    _release(bundle, manifest, folder / "release")
    (folder / "slim").mkdir()
    shutil.copyfile(RECIPES / "slim", folder / "slim/slim")
    _make_plain(folder)
    return manifest


def _environment(manifest: Manifest, pins: Iterable[Pin], folder: Path) -> None:
    (folder / "bundle/pins.txt").write_text(requirements.render(pins), encoding="ascii")
    targets = " ".join(f"{python}:{machine}" for python, machine in manifest.targets)
    commands = [
        TARGET.format(targets=targets),
        _bash([environment.INSTALLER, "$python", str(INSTALLER)]),
        f"library=$(echo {INSTALLER}/venv/lib/python3*/site-packages)",
        _bash(environment.making("$python", ENVIRONMENT, Path("$library"), COMPILING)),
    ]
    (folder / "install").write_text(INSTALL.format(commands="\n".join(commands)), encoding="ascii")


def _release(bundle: Bundle, manifest: Manifest, folder: Path) -> None:
    said = Declaration.of(bundle.app, manifest.raw.get("service"))
    (folder / "bundle/own.txt").write_text(overlay.pins(manifest, RELEASE), encoding="ascii")
    facts = {**manifest.raw, "bundle_sha256": bundle.sha256}
    (folder / "manifest.json").write_text(
        json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    given = {f"{said.environment_prefix}RELEASE": manifest.release}
    text = starting.program(bundle.app, RELEASE / "venv", PORT, manifest.release, said, given)
    (folder / starting.NAME).write_text(text, encoding="ascii")
    shutil.copyfile(RECIPES / "probe", folder / "probe")
    venv = RELEASE / "venv"
    commands = [
        f"library=$(echo {INSTALLER}/venv/lib/python3*/site-packages)",
        _bash(overlay.making("$python", RELEASE, Path("$library"), ENVIRONMENT / "venv")),
        shlex.join([f"{venv}/bin/python", "-I", "-c", COMPILING, str(venv)]),
        *_programs(manifest.release, said),
        f"chmod {starting.MODE:o} {RELEASE}/{starting.NAME}",
        f"rm -r {RELEASE}/bundle {RELEASE}/install",
    ]
    (folder / "install").write_text(INSTALL.format(commands="\n".join(commands)), encoding="ascii")


def _programs(release: str, said: Declaration) -> Iterable[str]:
    """A host refuses a release that lacks a program that it is to run; so does this."""
    commands = {
        **(said.processes or {}),
        **{name: timer.command for name, timer in (said.timers or {}).items()},
    }
    for name, (program, *_) in commands.items():
        sentence = (
            f"Release {release} is to run {program} as {name}, and its environment has no such program."
        )
        yield PROGRAM.format(path=f"{RELEASE}/venv/bin/{program}", sentence=shlex.quote(sentence))


def _bash(words: Iterable[str]) -> str:
    """A line that runs them; $python and $library are what the base has."""
    quoted = shlex.join(["/bin/bash", "-c", *words])
    return quoted.replace("'$python'", '"$python"').replace("'$library'", '"$library"')


def _make_plain(folder: Path) -> None:
    """Modes and times are the same whoever builds: what a tool keeps of a build it knows by them."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (TIME, TIME))
