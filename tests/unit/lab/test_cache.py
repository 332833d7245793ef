"""What the lab builds once a machine is whole or not there, whenever a build is cut off."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.lab import cache
from tests.lab.errors import LabError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIPWAY_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_folder_is_built_once(folder: Path) -> None:
    built: list[Path] = []
    first = cache.built("images", "a", built.append)
    assert cache.built("images", "a", built.append) == first == folder / "images" / "a"
    assert len(built) == 1


def test_two_commands_at_once_build_it_once(folder: Path) -> None:
    built: list[Path] = []

    def build(partial: Path) -> None:
        built.append(partial)
        time.sleep(0.3)

    threads = [threading.Thread(target=cache.built, args=("images", "a", build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_a_failed_build_leaves_nothing(folder: Path) -> None:
    def fail(partial: Path) -> None:
        (partial / "half").write_text("")
        raise LabError("no")

    with pytest.raises(LabError, match="no"):
        cache.built("images", "a", fail)
    assert [path.name for path in (folder / "images").iterdir()] == ["lock"]


def test_a_killed_build_is_never_used_and_swept_by_the_next(folder: Path) -> None:
    program = (
        "import time; from tests.lab import cache\n"
        "def build(partial):\n"
        "    (partial / 'half').write_text(''); print('half', flush=True); time.sleep(60)\n"
        "cache.built('images', 'a', build)"
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3],
    )
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"half\n"
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert not (folder / "images/a").exists()
    target = cache.built("images", "b", lambda partial: None)
    assert list(target.iterdir()) == []
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["b", "lock"]


def test_a_build_without_room_for_it_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cache.ROOM, "images", 10**9)
    with pytest.raises(LabError, match="takes about 1000000000 MB"):
        cache.built("images", "a", lambda partial: None)


def test_every_user_can_read_what_is_built(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        target = cache.built("images", "a", lambda partial: (partial / "etc").mkdir())
        assert (target / "etc").stat().st_mode & 0o777 == 0o755
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)


def test_the_name_changes_with_every_input() -> None:
    assert cache.key("a", "b") == cache.key("a", "b")
    assert len({cache.key("a", "b"), cache.key("a", "c"), cache.key("ab"), cache.key("b", "a")}) == 4
