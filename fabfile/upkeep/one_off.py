"""`fab exec`: one command of the service on an app host: what it says is seen as it says it; its exit code is fab's."""

from __future__ import annotations

import getpass
import shlex
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from fabfile.errors import FabError, RefusedError
from fabfile.exit_codes import TOO_LONG
from fabfile.hosts import connection as connection
from fabfile.hosts.answers import MARKER
from fabfile.hosts.connection import CHUNK, UNREACHABLE, Remote, UnreachableError
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet

# Beyond its own time: it is told to end, and that takes a moment.
GRACE_SECONDS = 60.0
INPUT_BYTES = 1 << 20


class EndedError(FabError):
    """The command was ended from here."""

    exit_code = TOO_LONG


def run(
    environment: Environment, words: Sequence[str], seconds: int, host: str = "", given: bytes | None = None
) -> int:
    """Its exit code. host: another app host than the first. given: its standard input. Raises FabError."""
    names = [each.name for each in environment.app_hosts]
    chosen = host or names[0]
    if chosen not in names:
        raise RefusedError(
            f"{chosen} is no app host of {environment.name}, which has {', '.join(names)}. Nothing was run."
        )
    command = ["exec", f"--seconds={seconds}", f"--holder={getpass.getuser()}"]
    command += ["--attached"] if given is None else ["--input"]
    with Fleet(environment, without=[name for name in names if name != chosen]) as fleet:
        fleet.require_all()
        return follow(fleet.first, [*command, "--", *words], seconds + GRACE_SECONDS, given)


def follow(remote: Remote, command: Sequence[str], seconds: float, given: bytes | None = None) -> int:
    """Perform a command of slipway whose output is not an answer; its exit code, once all it says has been shown."""
    channel = remote.session()
    try:
        channel.settimeout(seconds)
        channel.exec_command(f"{connection.MARKING}{remote.program} {shlex.join(command)}")
        if given is not None:
            channel.sendall(given)
            channel.shutdown_write()
        errors = threading.Thread(target=_errors, args=(channel,), daemon=True)
        errors.start()
        _shown(channel.recv, sys.stdout.buffer, f"{MARKER}\n".encode())
        errors.join()
        status = int(channel.recv_exit_status())
    except KeyboardInterrupt:
        raise EndedError(
            f"Interrupted: the command is ended on {remote.name}, and what it had done by then stays done."
            if given is None
            else f"Interrupted: {remote.name} has the whole of its input, and the command goes on there."
        ) from None
    except TimeoutError:
        raise UnreachableError(
            f"{remote.name} has said nothing for {seconds:g} s. The command is ended there with this connection; how "
            "it ended is in the journal: fab audit --all"
        ) from None
    except UNREACHABLE as failure:
        raise _lost(remote, str(failure) or type(failure).__name__) from None
    finally:
        # Its standard input ends with this, and with that the command.
        channel.close()
    if status < 0:
        raise _lost(remote, "the connection ended before the command did")
    return status


def _lost(remote: Remote, why: str) -> UnreachableError:
    return UnreachableError(
        f"{remote.name} was lost over SSH: {why}. The command is ended there; how, is in the journal: fab audit --all"
    )


def _errors(channel: Any) -> None:
    # That the other output says nothing for too long is what ends it.
    with suppress(TimeoutError):
        _shown(channel.recv_stderr, sys.stderr.buffer, b"")


def _shown(receive: Any, to: BinaryIO, marker: bytes) -> None:
    """Pass on what is received, from behind the marker: a login shell may have printed something before it."""
    before = b""
    for chunk in iter(lambda: receive(CHUNK), b""):
        said = before + chunk
        if marker and marker not in said:
            before = said
            continue
        to.write(said.partition(marker)[2] if marker else said)
        to.flush()
        before = marker = b""
    to.write(before)
    to.flush()
