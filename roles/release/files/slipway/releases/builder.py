"""Whoever builds an environment is nobody: a user who exists for as long as that takes, without network, who can write
to one folder. It stands where the result will be, and what was made in it is then taken over.

What a bundle holds may be anyone's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slipway.errors import StepError
from slipway.processes import Outcome, run
from slipway.releases import handover, interpreter
from slipway.turns.session import Session

SECONDS = 900.0
# Longer than the unit's own limit, which ends what it started.
PATIENCE_SECONDS = SECONDS + 30
NO_VENV = 97
# $0: the host's Python, $1: what is built, $2: PIP, $3: the folder that pip is in; what follows is pip's.
VENV = f'"$0" -I -m venv --without-pip "$1/venv" || exit {NO_VENV}; '
# Run by the new Python, which has no pip of its own. argv: the folder that pip is in, then what is pip's.
PIP = """\
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
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
INSTALL = (
    "install",
    "--no-input",
    "--disable-pip-version-check",
    "--no-cache-dir",
    "--no-index",
    "--no-deps",
    "--require-hashes",
    "--only-binary=:all:",
    "--ignore-installed",
)


def build(session: Session, release: str, scratch: Path, place: Path, program: Sequence[str]) -> Path:
    """Runs program, bash's -c and what follows, with scratch at place; returns scratch/venv, root's from then on.

    scratch: a folder below one that is root's alone, with what is built from in it. release: for whom it is.
    """
    work = scratch / "work"
    work.mkdir(exist_ok=True)
    # Its parent is root's alone: these are open to the one who builds, and to nobody else.
    for directory in (scratch, work):
        directory.chmod(0o1777)
    _end(session)
    try:
        _check(_run(session, scratch, place, program), release)
    except BaseException:
        _end(session)
        raise
    handover.take_over(scratch / "venv", interpreter.of(session.host).real)
    return scratch / "venv"


def _run(session: Session, scratch: Path, place: Path, program: Sequence[str]) -> Outcome:
    variables = {"TMPDIR": f"{place}/work", "HOME": f"{place}/work", "PIP_CONFIG_FILE": "/dev/null"}
    command = [
        session.host.systemd_run,
        "--quiet",
        "--collect",
        "--wait",
        "--pipe",
        f"--unit={session.host.build_unit}",
    ]
    command += [f"--property={each}" for each in (*PROPERTIES, f"BindPaths={scratch}:{place}")]
    command += [f"--setenv={name}={value}" for name, value in variables.items()]
    command += ["/bin/bash", "-c", *program]
    keep_open = () if session.lock_descriptor < 0 else (session.lock_descriptor,)
    return run(command, PATIENCE_SECONDS, keep_open=keep_open)


def _end(session: Session) -> None:
    """Of a run that was killed, the one who builds may still be at work: it is none of slipway's own processes."""
    run([session.host.systemctl, "stop", "--", session.host.build_unit], PATIENCE_SECONDS)


def _check(outcome: Outcome, release: str) -> None:
    if outcome.ok:
        return
    code, message = "install-failed", f"pip could not install release {release} from its bundle."
    if outcome.status == NO_VENV:
        code, message = (
            "venv-failed",
            "python3 -m venv failed. Is its package of venv installed? The app role installs it.",
        )
    ended = f"exit status {outcome.status}" if outcome.status is not None else f"not done after {SECONDS:g} s"
    raise StepError(
        code,
        f"{message} The half-built release was removed; traffic is untouched. It ended with {ended}:\n"
        f"{outcome.tail(15)}",
        output=outcome.tail(50),
    )
