"""docker-compose, and docker or podman beside it: found once, told what to do, and listened to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from fabfile.errors import RefusedError

ENGINES = ("docker", "podman")
COMPOSERS = ("docker compose", "docker-compose")
OLDEST = 2
SECONDS = 300.0
SHOWN_LINES = 15


class CommandError(Exception):
    """The message is what the program complained of."""


def run(
    words: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    tell: Callable[[str], None] | None = None,
    seconds: float = SECONDS,
) -> str:
    """What a program prints. tell: is given each line of its error output as it comes. Raises CommandError.

    It is not in the terminal's own group: Ctrl-C is for this process, which ends what it does in order.
    """
    environ = {**os.environ, **(environment or {})}
    complained: list[str] = []

    def listen(stream: IO[str]) -> None:
        for line in stream:
            complained.append(line)
            if tell:
                tell(line.rstrip("\n"))

    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", env=environ, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise CommandError(f"There is no program {words[0]} here.") from None
    assert process.stdout
    assert process.stderr
    with process:
        listener = threading.Thread(target=listen, args=(process.stderr,), daemon=True)
        listener.start()
        ending = threading.Timer(seconds, process.kill)
        ending.start()
        said = process.stdout.read()
        listener.join()
        process.wait()
        in_time = ending.is_alive()
        ending.cancel()
    if not in_time:
        raise CommandError(f"{' '.join(map(str, words[:3]))} was not done after {seconds:g} s.")
    if process.returncode:
        shown = "".join(complained[-SHOWN_LINES:]).strip() or said.strip()
        raise CommandError(shown or f"{words[0]} ended with {process.returncode}.")
    return said


def composer() -> list[str]:
    """The words of docker-compose's second edition. Raises RefusedError where it is not here.

    SLIPWAY_COMPOSE names another. podman-compose is none: it ignores what containers wait for.
    """
    wanted = os.environ.get("SLIPWAY_COMPOSE", "")
    for words in [wanted.split()] if wanted else [each.split() for each in COMPOSERS]:
        try:
            version = run([*words, "version", "--short"]).strip().lstrip("v")
        except CommandError:
            continue
        if version.split(".")[0].isdigit() and int(version.split(".")[0]) >= OLDEST:
            return words
    raise RefusedError(
        f"There is no docker-compose of version {OLDEST} or newer here{f' by the name {wanted}' if wanted else ''}: "
        "it is docker's plugin, or the package docker-compose of Debian 13; with podman it is used over podman's "
        "socket (docs/containers.md). Nothing was changed."
    )


def engine() -> str:
    """docker or podman, whichever answers; SLIPWAY_ENGINE names one. Raises RefusedError."""
    wanted = os.environ.get("SLIPWAY_ENGINE", "")
    for name in (wanted,) if wanted else ENGINES:
        if not shutil.which(name):
            continue
        try:
            run([name, "version"])
        except CommandError:
            continue
        return name
    raise RefusedError(
        f"{wanted or ' and '.join(ENGINES)} gave no answer here: is it installed, does its service run, and may you "
        "use it? Nothing was changed."
    )


def parsed(text: str) -> Any:
    """The JSON of a line of it, the last that is one; None when there is none."""
    for line in reversed(text.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return None
