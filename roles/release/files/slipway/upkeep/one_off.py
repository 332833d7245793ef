"""`slipway exec`: one command of the live release's own program, as the service, in its sandbox, for a limited time.

The program is the service's and no other: a host runs no code that nobody signed (adr/0018). Its output is the
caller's; that it ran, with which words and how it ended, is in the journal.
"""

from __future__ import annotations

import os
import secrets
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from slipway.errors import RefusedError, SlipwayError, StepError
from slipway.processes import ENVIRONMENT
from slipway.releases import kept
from slipway.turns.session import Report, Session

# As timeout(1) has them; every other code is the command's own.
TOO_LONG, NOT_RUN = 124, 125
# Until what was told to end has.
STOP_SECONDS = 30.0
# What of the service's unit makes it a server; all else is its user, settings, credentials, sandbox and limits.
SERVERS_OWN = frozenset(
    {"Type", "NotifyAccess", "ExecStart", "ExecStartPre", "RuntimeDirectory", "RuntimeDirectoryMode"}
    | {"SyslogIdentifier", "LogRateLimitIntervalSec", "KillMode", "TimeoutStopSec"}
    | {"Restart", "RestartSec", "OOMPolicy"}
)


class EndedError(StepError):
    """The command was ended before its end."""

    exit_code = TOO_LONG


def exit_code(failure: SlipwayError) -> int:
    """A code that no command of the service is taken to have given."""
    return TOO_LONG if isinstance(failure, EndedError) else NOT_RUN


def one_off(
    session: Session, words: Sequence[str], seconds: float, attached: bool, given: bool, holder: str | None
) -> Report:
    """attached: end it when standard input ends. given: what standard input holds is the command's.

    Result: {"release", "exit": the command's exit code; 255 for one that a signal ended}.
    """
    release = kept.live(session.host)
    if release is None:
        raise RefusedError(
            "not-live", "No release is live here, so there is no command.", "Type: slipway list"
        )
    unit = f"{session.host.app}-exec-{secrets.token_hex(4)}.service"
    named = {} if holder is None else {"holder": holder}
    with session.journal.step("exec", release, words=list(words), unit=unit, **named) as outcome:
        command = [
            *_sandboxed(session, release, unit, seconds),
            str(session.host.console(release)),
            *_literal(words),
        ]
        # The manager gives the unit these three themselves: what it says does not pass through here.
        process = subprocess.Popen(
            command, stdin=None if given else subprocess.DEVNULL, env=ENVIRONMENT, start_new_session=True
        )
        try:
            reason = _ended_for(process, seconds, attached and not given)
        except BaseException:
            _end(session, unit, process)
            raise
        if reason:
            how = "was ended" if _end(session, unit, process) else f"could not be ended ({unit} runs on)"
            raise EndedError(
                "exec-ended",
                f"`{session.host.app} {words[0]}` of release {release} {how}: {reason}. What it had done by then "
                "stays done; traffic is untouched.",
                unit=unit,
            )
        outcome.update(exit=process.returncode)
    said = f"`{session.host.app} {words[0]}` of release {release} ended with {process.returncode}."
    return Report(True, {"release": release, "exit": process.returncode}, said)


def _sandboxed(session: Session, release: str, unit: str, seconds: float) -> list[str]:
    # The manager's own limit is for a slipway that is gone before it could end the command.
    own = [f"RuntimeMaxSec={seconds + STOP_SECONDS:.0f}", "TimeoutStopSec=10"]
    return [
        session.host.systemd_run,
        "--quiet",
        "--collect",
        "--wait",
        "--pipe",
        f"--unit={unit}",
        f"--description=a command of {session.host.app}, release {release}",
        *(f"--property={line}" for line in [*properties(session.host.service_unit, release), *own]),
        "--",
    ]


def properties(unit: Path, release: str) -> Iterator[str]:
    """The lines of the service's own unit that are not a server's, for one release."""
    section = ""
    for line in unit.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.startswith("["):
            section = line.strip()
        name, told, value = line.strip().partition("=")
        # What lies in the runtime directory is the server's: its sockets, the numbers that its workers share.
        if (
            section == "[Service]"
            and told
            and name.isalnum()
            and name not in SERVERS_OWN
            and "/run/" not in value
        ):
            yield f"{name}={value.replace('%i', release)}"


def _literal(words: Sequence[str]) -> list[str]:
    # The manager would put the value of a variable in the place of its name.
    return [word.replace("$", "$$") for word in words]


def _ended_for(process: subprocess.Popen[bytes], seconds: float, attached: bool) -> str:
    """Waits for the command; why it is to be ended before its end, or nothing when it has ended."""
    deadline, ended = time.monotonic() + seconds, os.pidfd_open(process.pid)
    try:
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([ended, *([0] if attached else [])], [], [], left)
            if ended in ready:
                process.wait()
                return ""
            if 0 in ready and not os.read(0, 4096):
                return "whoever asked for it is gone"
        return f"it had not ended after {seconds:g} s"
    finally:
        os.close(ended)


def _end(session: Session, unit: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended. A unit that has ended meanwhile cannot be stopped, and need not be."""
    with suppress(StepError):
        session.systemd.stop(unit)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True
