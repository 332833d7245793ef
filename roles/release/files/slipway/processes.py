"""Starting programs: bounded in time, no input, a small environment, nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}


@dataclass(frozen=True)
class Outcome:
    """status: exit status, None when the time ran out. output: stdout and stderr together."""

    status: int | None
    output: str

    @property
    def ok(self) -> bool:
        return self.status == 0

    def tail(self, lines: int) -> str:
        return "\n".join(self.output.strip().splitlines()[-lines:])


def run(
    command: Sequence[str],
    seconds: float,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    keep_open: Sequence[int] = (),
    given: bytes | None = None,
) -> Outcome:
    """Runs command for at most seconds. keep_open: descriptors the program inherits. given: its standard input."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**ENVIRONMENT, **(environment or {})},
        cwd=directory or "/",
        pass_fds=keep_open,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(given, timeout=seconds)
    except subprocess.TimeoutExpired:
        output = _end(process)
        return Outcome(None, output.decode("utf-8", "replace"))
    except BaseException:
        _end(process)
        raise
    return Outcome(process.returncode, output.decode("utf-8", "replace"))


def _end(process: subprocess.Popen[bytes]) -> bytes:
    """Ends the program and all it started, and collects what it had said."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]
