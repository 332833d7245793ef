"""A release is started as its unit would start it, asked, and ended in the middle of an answer."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fabfile.bundle.host_rules import SHARED
from fabfile.contract.lines import Line, holds, missing, without
from fabfile.contract.release import NAME, Release
from fabfile.errors import BuildError

# As the unit has them: how long it may take to be ready, and to end.
READY_SECONDS, GRACE_SECONDS = 60.0, 30.0
PAUSE_SECONDS = 0.05
GIVEN = "What it needs to run is given with --settings FILE and --credentials FOLDER."

GIVE = """\
import json, os, runpy, sys
runpy.run_path(sys.argv[1], run_name="start")["give_variables"]()
print(json.dumps(dict(os.environ)))
"""


@dataclass(frozen=True)
class Answer:
    """releases: what X-Release says, once for each time that it is there."""

    status: int
    releases: list[str]
    body: str


class Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))

    def asked(self, path: str) -> Answer:
        """Raises OSError, HTTPException."""
        self.request("GET", path)
        return self.answered()

    def answered(self) -> Answer:
        answer = self.getresponse()
        body = answer.read(4000).decode("utf-8", "replace")
        return Answer(answer.status, answer.headers.get_all("X-Release") or [], body)


def environ(release: Release, settings: Mapping[str, str], credentials: Path | None) -> dict[str, str]:
    """What a unit gives the service, as far as that is known here, and its `start` in variables of the service's own.
    What is imported first leaves the bytecode that a host's release has. Raises BuildError."""
    said = {
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "WEB_CONCURRENCY": "2",
        f"{release.said.environment_prefix}RELEASE": NAME,
    }
    given = {**said, **settings, **({"CREDENTIALS_DIRECTORY": str(credentials)} if credentials else {})}
    if not release.said.environment:
        return given
    words: list[str | Path] = [release.program("python"), "-c", GIVE, release.start]
    done = subprocess.run(words, env=given, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise BuildError(f"{done.stderr.strip()} {GIVEN}")
    return dict(json.loads(done.stdout))


def lines(release: Release, environment: Mapping[str, str]) -> Iterator[Line]:
    """What came of it; the first that does not hold ends it."""
    with _process(release, environment) as (process, log):
        began = time.monotonic()
        answer = _until_ready(release, process)
        took = time.monotonic() - began
        if isinstance(answer, str) or answer.status != 200:
            ended = process.poll()
            how = (
                f"it ended with {ended}"
                if ended is not None
                else answer
                if isinstance(answer, str)
                else f"{release.said.health} answers HTTP {answer.status}: {answer.body.strip()[:200]}"
            )
            yield missing("ready", f"{how}. {GIVEN} Its last lines:\n{_tail(log)}")
            return
        yield holds("ready", f"{release.said.health} answers 200, {took:.1f} s after its start")
        yield _preload_line(release, log)
        yield _release_line(answer)
        yield _schema_line(release, answer)
        yield _end_line(release, process)


def _release_line(answer: Answer) -> Line:
    if answer.releases == [NAME]:
        return holds("X-Release", "each answer names its release, once")
    said = f"{len(answer.releases)} of them" if answer.releases else "none"
    return missing(
        "X-Release",
        f"{said}, where Slipway has uvicorn send one: the service, or what stands in it, sends or removes its own",
    )


def _preload_line(release: Release, log: Path) -> Line:
    if not release.said.preload:
        return without(
            "preload", "no preload: each worker imports it, and spends a start's time and memory, by itself"
        )
    refused = [line for line in log.read_text("utf-8", "replace").splitlines() if line.endswith(SHARED)]
    return (
        without("preload", refused[0]) if refused else holds("preload", "it is imported once for all workers")
    )


def _schema_line(release: Release, answer: Answer) -> Line:
    if release.said.migrations is None:
        return without("schema_applied", "no migrations, so no schema to be asked about")
    if '"schema_applied"' in answer.body:
        return holds("schema_applied", f"{release.said.health} says which schema it found")
    return without(
        "schema_applied",
        f"{release.said.health} does not say which schema it found: the gate takes a release that the schema does not "
        "fit, and what is applied is what the first host's journal says",
    )


def _end_line(release: Release, process: subprocess.Popen[bytes]) -> Line:
    connection = Connection(release.socket)
    try:
        connection.asked(release.said.health)
        connection.request("GET", release.said.health)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        answer: Answer | str = connection.answered()
    except (OSError, http.client.HTTPException) as failure:
        answer = f"it had no answer ({failure or type(failure).__name__})"
    finally:
        connection.close()
    if isinstance(answer, str):
        return missing("SIGTERM", f"a request was under way, and {answer}: a switch would lose it")
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return missing(
            "SIGTERM", f"it runs on after {GRACE_SECONDS:g} s, when systemd kills it with what it is doing"
        )
    return holds(
        "SIGTERM", f"the request under way was answered, and it ended {time.monotonic() - began:.1f} s later"
    )


def _until_ready(release: Release, process: subprocess.Popen[bytes]) -> Answer | str:
    """The first answer with 200, else the last one, or why there is none."""
    deadline, last = time.monotonic() + READY_SECONDS, "it gave no answer"
    found: Answer | str = last
    while time.monotonic() < deadline and process.poll() is None:
        connection = Connection(release.socket)
        try:
            found = connection.asked(release.said.health)
            if found.status == 200:
                return found
        except (OSError, http.client.HTTPException) as failure:
            found = found if isinstance(found, Answer) else f"it gave no answer ({failure})"
        finally:
            connection.close()
        # One that answers has started: it is not waited for as long as one that does not.
        if isinstance(found, Answer):
            deadline = min(deadline, time.monotonic() + READY_SECONDS / 6)
        time.sleep(PAUSE_SECONDS)
    return found


@contextmanager
def _process(
    release: Release, environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = release.folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(release.start)],
            env=dict(environment),
            cwd=release.folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield process, log
    finally:
        # What it started is in its session, and nothing else is.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(log: Path) -> str:
    return "\n".join(f"    {line}" for line in log.read_text("utf-8", "replace").splitlines()[-12:])
