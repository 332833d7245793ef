"""Releases are built with the Python that the host's settings name, and with its own where they name none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from slipway.host import Host
from slipway.releases import environment, interpreter

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER


def pin(host: Host, python: Path) -> None:
    host.settings.write_text(f"[release]\nsignatures_required = false\npython = {python}\n")


@pytest.fixture
def another(tmp_path: Path) -> Path:
    """This machine's Python by another path, as one that was put beside the distribution's."""
    path = tmp_path / f"opt/bin/python3.{sys.version_info.minor}"
    path.parent.mkdir(parents=True)
    path.symlink_to(sys.executable)
    return path


def saying(tmp_path: Path, answer: str) -> Path:
    path = tmp_path / "python3.99"
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(0o755)
    return path


def test_a_release_is_built_with_the_python_that_is_named_and_the_one_before_keeps_its_own(
    host: Host, slipway: Slipway, tmp_path: Path, another: Path
) -> None:
    first = support.good_bundle(tmp_path)
    before = slipway(*support.staging(first), given=first).result["environment"]
    pin(host, another)
    bundle = support.good_bundle(tmp_path, OTHER)

    after = slipway(*support.staging(bundle), given=bundle).result["environment"]

    assert before != after
    record = json.loads((host.environments / after / environment.RECORD).read_text())
    assert record["path"] == str(another)
    assert (host.release(OTHER) / "venv/bin/python").resolve() == Path(sys.executable).resolve()
    assert slipway("prune", "--keep", "2").code == 0
    assert {before, after} <= {path.name for path in host.environments.iterdir()}
    assert environment.complaint(host, before) == ""


def test_a_bundle_for_another_python_is_refused_by_what_the_named_one_says_of_itself(
    host: Host, slipway: Slipway, tmp_path: Path
) -> None:
    pin(host, saying(tmp_path, "echo 3.99.1"))
    bundle = support.good_bundle(tmp_path)

    answer = slipway(*support.staging(bundle), given=bundle)

    assert (answer.code, answer.error) == (2, "wrong-target")
    assert "this host has Python 3.99 on" in answer.message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "No such file"),
        ("echo no module named ensurepip >&2; exit 1", "no module named ensurepip"),
        ("exit 1", "it says nothing"),
    ],
)
def test_a_python_that_is_not_there_or_cannot_make_environments_changes_nothing(
    host: Host, slipway: Slipway, tmp_path: Path, answer: str | None, said: str
) -> None:
    named = saying(tmp_path, answer) if answer else tmp_path / "none/python3.12"
    pin(host, named)
    bundle = support.good_bundle(tmp_path)

    done = slipway(*support.staging(bundle), given=bundle)

    assert (done.code, done.error) == (3, "python-missing")
    assert f"built with {named} (app_python), and that does not work: " in done.message
    assert said in done.message
    assert [*host.releases.iterdir(), *host.environments.iterdir(), *host.staging.iterdir()] == []
    # What has nothing to do with building goes on.
    assert slipway("status").code == 0


def test_where_none_is_named_it_is_the_hosts_own(host: Host) -> None:
    found = interpreter.of(host)
    assert (found.path, found.short) == (host.python, ".".join(map(str, sys.version_info[:2])))
