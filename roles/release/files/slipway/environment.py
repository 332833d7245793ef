"""A release's virtual environment: built offline at its final path, from the bundle's own wheels, by nobody.

What a bundle holds may be anyone's. So the one who builds is a user who exists for as long as that takes, without
network, who can write to one folder; it stands where the release will be, and what was made in it is then taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slipway import handover, requirements
from slipway.errors import StepError
from slipway.manifest import Manifest
from slipway.processes import Outcome, run
from slipway.requirements import Pin
from slipway.session import Session

SECONDS = 900.0
# Longer than the unit's own limit, which ends what it started.
PATIENCE_SECONDS = SECONDS + 30
UNIT = "slipway-build.service"
NO_VENV = 97
# $0: the host's Python, $1: the release; what follows is pip's.
PROGRAM = f'"$0" -I -m venv "$1/venv" || exit {NO_VENV}; exec "$1/venv/bin/python" -I -m pip "${{@:2}}"'
PROPERTIES = (
    "DynamicUser=yes",
    "PrivateNetwork=yes",
    "PrivateDevices=yes",
    "ProtectHome=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "RestrictNamespaces=yes",
    "RestrictAddressFamilies=~AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET",
    "CapabilityBoundingSet=",
    "NoNewPrivileges=yes",
    "LimitCORE=0",
    "TasksMax=64",
    "UMask=0022",
    f"RuntimeMaxSec={SECONDS:.0f}",
)


def build(session: Session, manifest: Manifest, pins: Sequence[Pin], scratch: Path, release: Path) -> None:
    """Makes release/venv (absolute, final) of scratch/bundle, with what pins say and the service's own wheel."""
    wheel = manifest.application_wheel
    own = f"{release}/bundle/{wheel} --hash=sha256:{manifest.files[wheel][0]}\n"
    (scratch / "bundle/pins.txt").write_text(requirements.render(pins) + own, encoding="ascii")
    (scratch / "work").mkdir()
    # Its parent is root's alone: these are open to the one who builds, and to nobody else.
    for directory in (scratch, scratch / "work"):
        directory.chmod(0o1777)
    _end(session)
    try:
        _check(_run(session, scratch, release), manifest.release)
    except BaseException:
        _end(session)
        raise
    handover.take_over(scratch / "venv")
    (scratch / "venv").rename(release / "venv")


def _run(session: Session, scratch: Path, release: Path) -> Outcome:
    # One pip run for all: code of a wheel just installed never runs in a second one.
    install = [
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--no-index",
        "--no-deps",
    ]
    install += ["--require-hashes", "--only-binary=:all:", "--compile"]
    install += [f"--find-links={release}/bundle/wheelhouse", "-r", f"{release}/bundle/pins.txt"]
    variables = {"TMPDIR": f"{release}/work", "HOME": f"{release}/work", "PIP_CONFIG_FILE": "/dev/null"}
    command = [session.host.systemd_run, "--quiet", "--collect", "--wait", "--pipe", f"--unit={UNIT}"]
    command += [f"--property={each}" for each in (*PROPERTIES, f"BindPaths={scratch}:{release}")]
    command += [f"--setenv={name}={value}" for name, value in variables.items()]
    command += ["/bin/bash", "-c", PROGRAM, session.host.python, str(release), *install]
    keep_open = () if session.lock_descriptor < 0 else (session.lock_descriptor,)
    return run(command, PATIENCE_SECONDS, keep_open=keep_open)


def _end(session: Session) -> None:
    """Of a run that was killed, the one who builds may still be at work: it is none of slipway's own processes."""
    run([session.host.systemctl, "stop", "--", UNIT], PATIENCE_SECONDS)


def _check(outcome: Outcome, release: str) -> None:
    if outcome.ok:
        return
    code, message = "install-failed", f"pip could not install release {release} from its bundle."
    if outcome.status == NO_VENV:
        code, message = (
            "venv-failed",
            "python3 -m venv failed. Is python3-venv installed? The app role installs it.",
        )
    ended = f"exit status {outcome.status}" if outcome.status is not None else f"not done after {SECONDS:g} s"
    raise StepError(
        code,
        f"{message} The half-built release was removed; traffic is untouched. It ended with {ended}:\n"
        f"{outcome.tail(15)}",
        output=outcome.tail(50),
    )
