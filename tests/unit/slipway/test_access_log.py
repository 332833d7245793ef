"""The access log, followed while it is rotated: no line that nginx writes meanwhile is missed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway.traffic.access_log import AccessLog


class Nginx:
    """Writes to the file that it has open, until it is told to open the log anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reopen()

    def reopen(self) -> None:
        self.file = self.path.open("a")

    def answers(self, number: int) -> None:
        self.file.write(json.dumps({"number": number}) + "\n")
        self.file.flush()

    def rotated(self, count: int) -> None:
        """As logrotate moves the files and makes the new one, before it tells nginx."""
        for number in range(count, 0, -1):
            former = self.path.with_suffix(f".{number}") if number > 1 else self.path
            former.rename(self.path.with_suffix(f".{number + 1}"))
        self.path.touch()


@pytest.fixture
def nginx(tmp_path: Path) -> Nginx:
    return Nginx(tmp_path / "access.log")


@pytest.fixture
def log(nginx: Nginx) -> Iterator[AccessLog]:
    followed = AccessLog(nginx.path)
    yield followed
    followed.close()


def numbers(log: AccessLog) -> list[int]:
    return [entry["number"] for entry in log.added()]


def test_what_nginx_writes_to_the_old_file_until_it_is_told_of_the_new_one_is_read(
    nginx: Nginx, log: AccessLog
) -> None:
    nginx.answers(1)
    nginx.rotated(1)
    nginx.answers(2)
    assert numbers(log) == [1, 2]
    nginx.answers(3)
    assert numbers(log) == [3]
    old = nginx.file
    nginx.reopen()
    nginx.answers(4)
    # A worker that answers a long request is the last to leave the old file.
    old.write('{"number": 5}\n')
    old.flush()
    assert sorted(numbers(log)) == [4, 5]
    assert numbers(log) == []


def test_several_rotations_in_one_watch_lose_nothing(nginx: Nginx, log: AccessLog) -> None:
    seen = []
    for count in (1, 2, 3):
        nginx.answers(10 * count)
        nginx.rotated(count)
        seen += numbers(log)
        nginx.answers(10 * count + 1)
        nginx.reopen()
        nginx.answers(10 * count + 2)
        seen += numbers(log)
    assert sorted(seen) == [10, 11, 12, 20, 21, 22, 30, 31, 32]


def test_a_line_that_is_half_written_when_the_log_is_rotated_is_whole(nginx: Nginx, log: AccessLog) -> None:
    nginx.file.write('{"num')
    nginx.file.flush()
    nginx.rotated(1)
    assert numbers(log) == []
    nginx.file.write('ber": 1}\n')
    nginx.file.flush()
    nginx.reopen()
    nginx.answers(2)
    assert numbers(log) == [1, 2]


def test_a_log_that_is_cut_in_place_is_read_from_its_new_beginning(nginx: Nginx, log: AccessLog) -> None:
    nginx.answers(1000)
    assert numbers(log) == [1000]
    nginx.file.truncate(0)
    nginx.answers(2)
    assert numbers(log) == [2]
    for number in range(3, 9):
        nginx.answers(number)
    assert numbers(log) == [3, 4, 5, 6, 7, 8]
