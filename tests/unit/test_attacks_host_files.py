"""Root writes where the inventory says, whatever somebody makes of the folders on the way meanwhile."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import pytest

from tests.unit.plugins.test_host_files_harness import FilesHost, files_host

from ansible.module_utils.slipway_files import checks, compare  # isort: skip

__all__ = ["files_host"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root writes files for others")
NOBODY = 65534
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def folder_of_another(files_host: FilesHost) -> Path:
    folder = files_host.path("home/deploy")
    (folder / ".ssh").mkdir(parents=True)
    for path in (folder, folder / ".ssh"):
        os.chown(path, NOBODY, NOBODY)
    return folder


def test_a_folder_swapped_for_a_link_after_it_was_looked_at_is_not_written_through(
    files_host: FilesHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, prize = folder_of_another(files_host), files_host.path("etc/apt/apt.conf.d")
    prize.mkdir(parents=True)

    def swap(*_: object) -> list[str]:
        (folder / ".ssh").rename(folder / ".away")
        (folder / ".ssh").symlink_to(prize)
        return []

    # The daemons' checkers take their time between the look and the writing.
    monkeypatch.setattr(checks, "run", swap)
    said = files_host.refusal(files_host.file("home/deploy/.ssh/authorized_keys", "APT::Update::Pre-Invoke"))

    assert "others than root can change where it leads" in said
    assert list(prize.iterdir()) == []


def test_a_folder_that_is_swapped_all_the_time_is_never_written_through(files_host: FilesHost) -> None:
    folder, prize = folder_of_another(files_host), files_host.path("etc/cron.d")
    prize.mkdir(parents=True)
    done = threading.Event()

    (folder / ".link").symlink_to(prize)
    exchange = ctypes.CDLL(None).renameat2
    names = [str(folder / name).encode() for name in (".ssh", ".link")]

    def swap() -> None:
        while not done.is_set():
            exchange(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for number in range(40):
            files_host.answer(files_host.file("home/deploy/.ssh/authorized_keys", f"key {number}"))
    finally:
        done.set()
        swapping.join()

    assert list(prize.iterdir()) == []


def test_a_link_that_root_made_is_followed(files_host: FilesHost) -> None:
    files_host.path("data/srv").mkdir(parents=True)
    files_host.path("srv").symlink_to("data/srv")

    files_host.state(files_host.file("srv/site.conf", "listen 80;"))

    assert files_host.path("data/srv/site.conf").read_text() == "listen 80;"


def test_a_secret_is_nobody_elses_while_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = compare.Change("file", "/etc/shop/secret", b"s", -1, -1, 0o600, "", "", True)
    seen: list[int] = []
    real = os.open

    def look(path: str, flags: int, mode: int = 0o777, **options: int) -> int:
        seen.append(mode)
        return real(path, flags, mode, **options)

    monkeypatch.setattr(checks.os, "open", look)
    checks._stage(str(tmp_path), compare.Difference([change], [], {}))

    assert seen == [0o600]
