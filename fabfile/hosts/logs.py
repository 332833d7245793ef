"""The service's log lines of every app host, read from the journal as the user who deploys may."""

from __future__ import annotations

import heapq
import json
import shlex
import threading
from collections.abc import Iterator
from typing import Any

from fabfile.errors import FabError
from fabfile.hosts.connection import UNREACHABLE, Remote
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet


def show(environment: Environment, lines: int, request_id: str, follow: bool) -> dict[str, FabError]:
    """Print the newest lines of all hosts, oldest first, each after its host's name; with follow, go on.

    Returns who could not be read; the others are shown.
    """
    with Fleet(environment) as fleet:
        outcomes = fleet.attempt(lambda remote: list(_read(remote, environment.app, lines, request_id)))
        missing = dict(fleet.unreachable)
        missing |= {name: value for name, value in outcomes.items() if isinstance(value, FabError)}
        found = {name: value for name, value in outcomes.items() if not isinstance(value, FabError)}
        merged = heapq.merge(*([(time, name, text) for time, text in said] for name, said in found.items()))
        for _, name, text in list(merged)[-lines:]:
            print(f"{name}  {text}")
        if follow:
            _follow([each for each in fleet.remotes if each.name in found], environment.app, request_id)
    return missing


def _command(app: str, lines: int, request_id: str, *more: str) -> str:
    words = [
        "journalctl",
        "--quiet",
        "--no-pager",
        "--output=json",
        *(f"--unit={app}{kind}@*.service" for kind in ("", "-process", "-task")),
        f"--lines={lines}",
        *more,
    ]
    # grep in the message is the journal's own; the id holds no character that means something in a pattern but a dot.
    words += [f"--grep={request_id}"] if request_id else []
    return shlex.join(words)


def _read(remote: Remote, app: str, lines: int, request_id: str) -> Iterator[tuple[str, str]]:
    done = remote.connection.run(
        _command(app, lines, request_id), hide=True, warn=True, timeout=30, in_stream=False
    )
    if done.return_code not in (0, 1):
        raise FabError(f"{remote.name}: the journal cannot be read: {done.stderr.strip()}")
    yield from filter(None, map(_entry, done.stdout.splitlines()))


def _entry(line: str) -> tuple[str, str] | None:
    """When and what; None for a line that a login shell printed."""
    try:
        entry: dict[str, Any] = dict(json.loads(line))
        return str(entry["__REALTIME_TIMESTAMP"]), message(entry)
    except (ValueError, TypeError, KeyError):
        return None


def message(entry: dict[str, Any]) -> str:
    """The text of a journal's entry, which has it as bytes when it is not UTF-8."""
    found = entry.get("MESSAGE")
    return bytes(found).decode("utf-8", "replace") if isinstance(found, list) else str(found)


def _follow(remotes: list[Remote], app: str, request_id: str) -> None:
    lock = threading.Lock()

    def stream(remote: Remote) -> None:
        channel = remote.session()
        channel.exec_command(_command(app, 0, request_id, "--follow"))
        for line in channel.makefile("r"):
            if entry := _entry(line):
                with lock:
                    print(f"{remote.name}  {entry[1]}", flush=True)

    threads = [threading.Thread(target=stream, args=(remote,), daemon=True) for remote in remotes]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except (KeyboardInterrupt, *UNREACHABLE):
        return
