"""What the unit tests share: a host in a directory, and slipway run on it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.slipway import support

from slipway.cli import main  # isort: skip


@dataclass(frozen=True)
class Answer:
    """What slipway gave back: exit code and the one JSON object."""

    code: int
    json: dict[str, Any]

    @property
    def error(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])

    @property
    def result(self) -> dict[str, Any]:
        assert self.code == 0, self.message
        return dict(self.json["result"])


Slipway = Callable[..., Answer]


@pytest.fixture
def host() -> Iterator[support.Host]:
    # Not tmp_path: a unix socket's path has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="sw"))
    host = support.make_host(folder)
    yield host
    support.end_units(host.root)
    shutil.rmtree(folder)


@pytest.fixture
def quick_systemd() -> Iterator[None]:
    """The fake systemd answers in the test's process, three times as fast: for tests that are not about its words."""
    with support.quick_systemd():
        yield


@pytest.fixture
def slipway(host: support.Host) -> Slipway:
    """Runs one command on the host: in this process, or with options for one in a process of its own.

    given: the file on its standard input.
    """

    def call(*words: str, given: Path = Path(os.devnull), **options: Any) -> Answer:
        with support.standard_input(given):
            if options:
                done = support.run(host.root, *words, **options)
                code, said = done.returncode, done.stdout
            else:
                with contextlib.redirect_stdout(io.StringIO()) as stream:
                    code = main(words, host)
                said = stream.getvalue()
        assert said.count("\n") == 1, f"not one JSON object: {said!r}"
        return Answer(code, json.loads(said))

    return call
