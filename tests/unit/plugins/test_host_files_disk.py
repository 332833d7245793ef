"""A disk that is full or cannot be written leaves every live file as it was."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.plugins.test_host_files_harness import FilesHost, files_host

__all__ = ["files_host"]


def mounted(folder: Path, size: str) -> None:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "slipway-test", str(folder)]
    subprocess.run(mount, check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts the small file system that fills up")
@pytest.mark.parametrize("full", ["disk", "state"])
def test_a_full_disk_is_met_before_any_live_file_has_changed(files_host: FilesHost, full: str) -> None:
    mounted(files_host.path(full), "64k")
    try:
        (files_host.path("plenty")).mkdir()
        files_host.path("plenty/a").write_text("old\n" * (30_000 if full == "state" else 1))
        before = files_host.everything()
        large = files_host.file("disk/b" if full == "disk" else "plenty/b", "x" * 200_000)

        sentence = files_host.refusal(files_host.file("plenty/a", "new\n"), large)

        assert "No space left on device. No live file was changed; make room" in sentence
        after = files_host.everything()
        live = [name for name in before if name.startswith(("plenty", "disk"))]
        assert {name: after[name] for name in live} == {name: before[name] for name in live}
        assert not [name for name in after if name.endswith(".slipway-new")]
    finally:
        subprocess.run(["umount", str(files_host.path(full))], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts the file system that cannot be written")
def test_when_the_second_of_two_files_cannot_be_written_the_first_stays_as_it_was(
    files_host: FilesHost,
) -> None:
    mounted(files_host.path("fixed"), "64k")
    try:
        files_host.state(files_host.file("a", "old\n"), files_host.file("fixed/b", "old\n"))
        subprocess.run(["mount", "-o", "remount,ro", str(files_host.path("fixed"))], check=True)

        sentence = files_host.refusal(files_host.file("a", "new\n"), files_host.file("fixed/b", "new\n"))

        assert sentence.startswith(
            f"{files_host.path('fixed/b')} could not be written: Read-only file system."
        )
        assert files_host.path("a").read_text() == "old\n"
        assert list(files_host.root.glob(".*")) == []
    finally:
        subprocess.run(["umount", str(files_host.path("fixed"))], check=True)
    assert files_host.state(files_host.file("a", "new\n"), files_host.file("fixed/b", "new\n"))["changed"]
    assert files_host.path("a").read_text() == "new\n"
