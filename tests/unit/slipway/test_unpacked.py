"""A program on a host starts from a copy of its code that has bytecode, and from its archive where it can have none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fabfile.programs import unpacked
from fabfile.programs.zipped import build_helper
from tests.unit.slipway import support

DIGEST = "0123456789abcdef"
TAG = sys.implementation.cache_tag


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program as it is installed; this test's folder takes the place of /usr/local/sbin."""
    installed = tmp_path / "sbin"
    installed.mkdir()
    path = installed / "slipway"
    path.write_bytes(build_helper())
    monkeypatch.setattr(unpacked, "INSTALLED", str(installed))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return path


def prefer(archive: Path, digest: str = DIGEST) -> Path:
    copies = archive.parent.parent / "cache"
    unpacked.prefer("slipway", digest, str(archive), str(copies))
    return copies / f"slipway-{digest}-{TAG}"


def test_the_copy_runs_the_same_program_from_bytecode_alone(archive: Path) -> None:
    copy = prefer(archive)

    assert sys.path[0] == str(copy)
    compiled = {path.parent.parent / path.name.split(".")[0] for path in copy.rglob("*.pyc")}
    assert compiled == {path.with_suffix("") for path in copy.rglob("*.py")}
    # What the bytecode says is what runs: an empty source beside it is never read.
    for path in copy.rglob("*.py"):
        path.write_text("")
    started = f"import sys; sys.path.insert(0, {str(copy)!r}); from slipway.cli import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-I", "-c", started], capture_output=True, text=True)
    assert "exit codes:" in done.stdout, done.stderr


def test_a_copy_that_is_there_is_taken_by_everyone_and_left_as_it_is(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = prefer(archive)
    before = support.snapshot(copy)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    sys.path.remove(str(copy))

    prefer(archive)

    assert sys.path[0] == str(copy)
    assert support.snapshot(copy) == before


def test_nobody_but_root_makes_a_copy(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert not prefer(archive).parent.exists()


def test_a_program_that_was_not_installed_leaves_nothing_behind(archive: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere/bin/slipway"
    elsewhere.parent.mkdir(parents=True)
    archive.rename(elsewhere)

    assert not prefer(elsewhere).parent.exists()


def test_without_room_for_a_copy_the_archive_serves_and_half_a_copy_is_removed(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(sys.path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    copy = prefer(archive)

    assert sys.path == before
    assert list(copy.parent.iterdir()) == []


def test_two_that_start_at_once_end_with_one_copy(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def second(source: str, target: str) -> None:
        os.mkdir(target)
        Path(target, "made-by-the-other").touch()
        rename(source, target)

    monkeypatch.setattr(os, "rename", second)
    copy = prefer(archive)

    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    assert [path.name for path in copy.iterdir()] == ["made-by-the-other"]


def test_an_older_programs_copy_goes_when_nothing_can_run_from_it(archive: Path) -> None:
    older, newer = prefer(archive, "a" * 16), prefer(archive, "b" * 16)
    killed_half_way = older.parent / "slipway-x7"
    killed_half_way.mkdir()
    for path in (older, killed_half_way):
        os.utime(path, (1, 1))

    latest = prefer(archive, "c" * 16)

    assert {path.name for path in latest.parent.iterdir()} == {newer.name, latest.name}


def test_another_code_has_another_copy(tmp_path: Path) -> None:
    source = tmp_path / "slipway"
    shutil.copytree(support.FILES / "slipway", source)
    mains = []
    for line in ("", "# changed\n"):
        with (source / "cli.py").open("a") as file:
            file.write(line)
        built = tmp_path / "built"
        built.write_bytes(build_helper(source))
        with zipfile.ZipFile(built) as files:
            mains.append(files.read("__main__.py"))

    assert mains[0] != mains[1]
