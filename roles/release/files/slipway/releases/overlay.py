"""A release's own virtual environment: its own wheels over the environment that it shares with others.

It is small and has everything at the paths of a whole one: Python, the service's commands, and those of the shared
packages, started with the release's own Python. The shared packages follow its own on the path.
"""

from __future__ import annotations

from pathlib import Path

from slipway.releases import builder, environment, interpreter
from slipway.releases.manifest import Manifest
from slipway.turns.session import Session

# Run by the new Python. argv: the release's venv, the shared one. A command is copied when its first line names the
# shared Python, and then names the release's.
LAYING = """\
import os, sys, sysconfig
own, shared = sys.argv[1:]
folders = {os.path.relpath(sysconfig.get_path(name), sys.prefix) for name in ("purelib", "platlib")}
with open(os.path.join(sysconfig.get_path("purelib"), "shared.pth"), "w") as paths:
    for each in sorted(folders):
        paths.write(f"import site; site.addsitedir({os.path.join(shared, each)!r})\\n")
python = os.fsencode(f"{shared}/bin/python")
for found in os.scandir(f"{shared}/bin"):
    if found.is_symlink() or os.path.lexists(f"{own}/bin/{found.name}"):
        continue
    with open(found.path, "rb") as stream:
        text = stream.read()
    if text.startswith(b"#!") and python in text:
        with open(os.open(f"{own}/bin/{found.name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755), "wb") as command:
            command.write(text.replace(python, os.fsencode(f"{own}/bin/python")))
"""
# $4: LAYING, $5: the shared venv.
PROGRAM = (
    f'{builder.VENV}"$1/venv/bin/python" -I -c "$4" "$1/venv" "$5" || exit; '
    'exec "$1/venv/bin/python" -I -c "$2" "$3" "${@:6}"'
)


def build(session: Session, manifest: Manifest, name: str, scratch: Path) -> None:
    """Makes the release's venv at its final path, of the wheels in scratch/bundle/app, over the environment name."""
    host = session.host
    release = host.release(manifest.release)
    (scratch / "bundle/own.txt").write_text(pins(manifest, release), encoding="ascii")
    library = environment.installer(session, manifest.release, scratch)
    words = making(interpreter.of(host).path, release, library, host.environments / name / "venv")
    builder.build(session, manifest.release, scratch, release, words).rename(release / "venv")


def pins(manifest: Manifest, place: Path) -> str:
    """What pip reads of the release's own wheels, which are below place/bundle."""
    own = manifest.own_wheels
    return "".join(f"{place}/bundle/{path} --hash=sha256:{manifest.files[path][0]}\n" for path in own)


def making(python: str, place: Path, library: Path, shared: Path) -> list[str]:
    """What bash -c is given to make place/venv of place/bundle: own.txt, and what it names. shared: the other venv."""
    pip = [builder.PIP, str(library), LAYING, str(shared), *builder.INSTALL]
    return [PROGRAM, python, str(place), *pip, "--compile", "-r", f"{place}/bundle/own.txt"]
