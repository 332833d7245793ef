"""Watching: redrawn on a terminal and given back at its end, a block a look in a pipe, the last level as exit code."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from fabfile.database.findings import Finding, Level
from fabfile.database.screen.watching import Standing, interval
from fabfile.errors import RefusedError
from tests.database import sample

PATIENCE = 60.0
ALTERNATE, GIVEN_BACK = b"\x1b[?1049h", b"\x1b[?1049l"


class Terminal:
    """A watch on a terminal of its own."""

    def __init__(self, *levels: str, **environment: str) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.database.watched", *levels],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **environment},
        )
        os.close(slave)
        self.seen = b""

    def read(self) -> bool:
        """Whether there may be more."""
        if not select.select([self.master], [], [], 1.0)[0]:
            return self.process.poll() is None
        try:
            more = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += more
        return bool(more)

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen[-2000:]
            assert self.read(), self.seen[-2000:]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        while self.read():
            pass
        return self.process.wait(PATIENCE)


@contextmanager
def watch(*levels: str, **environment: str) -> Iterator[Terminal]:
    terminal = Terminal(*levels, **environment)
    try:
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_is_redrawn_and_given_back(number: signal.Signals) -> None:
    with watch("OK", "CRITICAL", "WARN") as terminal:
        terminal.wait_for(b"Look 3 says WARN")
        assert terminal.seen.count(ALTERNATE) == 1
        assert terminal.end(number) == 1, "the level of the last look"
        assert terminal.seen.count(GIVEN_BACK) == 1
        assert b"Traceback" not in terminal.seen


def test_it_says_since_when_a_finding_stands() -> None:
    with watch("OK", "WARN", "WARN", "CRITICAL") as terminal:
        terminal.wait_for(b"seen for 2 min")


def test_no_color_means_no_color() -> None:
    with watch("CRITICAL") as terminal:
        terminal.wait_for(b"\x1b[1;37;41mCRITICAL")
    with watch("CRITICAL", NO_COLOR="1") as terminal:
        terminal.wait_for(b"CRITICAL")
        terminal.wait_for(b"fab db-activity")
        assert b";41m" not in terminal.seen


def test_a_lost_connection_is_said_and_the_last_screen_kept() -> None:
    with watch("WARN", "LOST", "LOST", "LOST", "WARN") as terminal:
        terminal.wait_for(b"The connection was lost. What follows was read at")
        terminal.wait_for(b"Look 4 says WARN")


def test_a_first_look_that_fails_ends_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.database.watched", "LOST"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "The connection was lost." in done.stderr


def test_a_pipe_gets_blocks_and_its_end_is_no_failure() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.database.watched", "OK", "WARN"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        seen = ""
        while "Look 3 says WARN" not in seen:
            line = process.stdout.readline()
            assert line, seen
            seen += line
        assert "\x1b" not in seen
        process.stdout.close()
        assert process.wait(PATIENCE) == 1
        assert process.stderr.read() == ""


def test_what_is_over_and_comes_again_is_new() -> None:
    standing, finding = Standing(), Finding("disk", Level.WARN, "Full.")
    later = sample.TAKEN + timedelta(minutes=5)
    assert standing.note([finding], sample.TAKEN) == {"disk": sample.TAKEN}
    assert standing.note([finding], later) == {"disk": sample.TAKEN}
    assert standing.note([], later) == {}
    assert standing.note([finding], later) == {"disk": later}


@pytest.mark.parametrize("text", ["0", "0.5", "-1", "abc", "nan", "inf", "3601"])
def test_an_interval_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="is not a number of seconds from 1 to 3600"):
        interval(text)


def test_an_interval() -> None:
    assert (interval(""), interval("2"), interval("2.5")) == (0.0, 2.0, 2.5)
