"""A release's virtual environment: built offline at its final path, from the bundle's own wheels."""

from __future__ import annotations

from pathlib import Path

from slipway.errors import StepError
from slipway.manifest import Manifest
from slipway.processes import Outcome, run
from slipway.session import Session

SECONDS = 900.0


def build(session: Session, manifest: Manifest, unpacked: Path, directory: Path) -> None:
    """Creates directory (absolute, final) with what requirements.lock pins and the service's own wheel."""
    scratch = unpacked / "tmp"
    scratch.mkdir()
    _check(
        _run(session, [session.host.python, "-I", "-m", "venv", str(directory)], scratch),
        "venv-failed",
        f"python3 -m venv {directory} failed. Is python3-venv installed? The app role installs it.",
    )
    wheel = manifest.application_wheel
    own = unpacked / "application.lock"
    own.write_text(f"{unpacked / wheel} --hash=sha256:{manifest.files[wheel][0]}\n", encoding="utf-8")
    # One pip run for both files: code of a wheel just installed never runs in a second one, as root.
    command = [str(directory / "bin/python"), "-I", "-m", "pip", "install", "--no-input"]
    command += [
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--no-index",
        "--no-deps",
        "--require-hashes",
    ]
    command += ["--only-binary=:all:", "--compile", f"--find-links={unpacked / 'wheelhouse'}"]
    command += ["-r", str(unpacked / "requirements.lock"), "-r", str(own)]
    _check(
        _run(session, command, scratch),
        "install-failed",
        f"pip could not install release {manifest.release} from its bundle.",
    )


def _run(session: Session, command: list[str], scratch: Path) -> Outcome:
    keep_open = () if session.lock_descriptor < 0 else (session.lock_descriptor,)
    environment = {"TMPDIR": str(scratch), "PIP_CONFIG_FILE": "/dev/null"}
    return run(command, SECONDS, environment, directory=scratch, keep_open=keep_open)


def _check(outcome: Outcome, code: str, message: str) -> None:
    if not outcome.ok:
        ended = (
            f"exit status {outcome.status}" if outcome.status is not None else f"not done after {SECONDS:g} s"
        )
        raise StepError(
            code,
            f"{message} The half-built release was removed; traffic is untouched. It ended with {ended}:\n"
            f"{outcome.tail(15)}",
            output=outcome.tail(50),
        )
