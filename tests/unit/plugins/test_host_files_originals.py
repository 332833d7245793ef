"""What stood on a host before Slipway is kept, given back, and never removed."""

from __future__ import annotations

import os
from pathlib import Path

from tests.unit.plugins.test_host_files_harness import FilesHost, files_host

__all__ = ["files_host"]


def test_a_file_no_longer_wanted_goes_and_the_original_comes_back(files_host: FilesHost) -> None:
    theirs, extra = files_host.path("site.conf"), files_host.path("extra.conf")
    theirs.write_text("as the package had it\n")
    theirs.chmod(0o640)
    files_host.state(files_host.file("site.conf", "ours\n"), files_host.file("extra.conf", "ours\n"))

    answer = files_host.state()

    assert answer["removed"] == [str(extra), str(theirs)]
    assert theirs.read_text() == "as the package had it\n"
    assert theirs.stat().st_mode & 0o7777 == 0o640
    assert not extra.exists()
    assert not files_host.state()["changed"]
    assert theirs.exists()


def test_a_link_that_stood_in_a_files_place_comes_back_as_a_link(files_host: FilesHost) -> None:
    files_host.path("shared.conf").write_text("shared\n")
    files_host.path("site.conf").symlink_to("shared.conf")

    files_host.state(files_host.file("site.conf", "ours\n"))
    assert not files_host.path("site.conf").is_symlink()
    files_host.state()

    assert os.readlink(files_host.path("site.conf")) == "shared.conf"
    assert files_host.path("shared.conf").read_text() == "shared\n"


def test_nothing_slipway_did_not_write_is_ever_removed(files_host: FilesHost) -> None:
    files_host.state(files_host.file("conf.d/ours.conf", "ours\n"))
    files_host.path("conf.d/theirs.conf").write_text("theirs\n")

    answer = files_host.state()

    assert answer["removed"] == [str(files_host.path("conf.d/ours.conf"))]
    assert files_host.path("conf.d/theirs.conf").read_text() == "theirs\n"


def test_a_file_that_was_right_before_slipway_came_stays_when_it_is_no_longer_wanted(
    files_host: FilesHost,
) -> None:
    files_host.path("locale").write_text("LANG=C.UTF-8\n")
    files_host.state(files_host.file("locale", "LANG=C.UTF-8\n"))

    files_host.state()

    assert files_host.path("locale").read_text() == "LANG=C.UTF-8\n"


def test_a_directory_that_took_a_files_place_is_left(files_host: FilesHost) -> None:
    files_host.state(files_host.file("site.conf", "ours\n"))
    files_host.path("site.conf").unlink()
    files_host.path("site.conf").mkdir()

    assert files_host.state()["removed"] == []
    assert files_host.path("site.conf").is_dir()


def test_the_original_is_kept_once_and_never_overwritten_by_slipways_own_text(files_host: FilesHost) -> None:
    files_host.path("site.conf").write_text("the package's\n")
    for text in ("first\n", "second\n", "third\n"):
        files_host.state(files_host.file("site.conf", text))

    assert files_host.original("site.conf").read_text() == "the package's\n"
    assert files_host.path("state/originals").stat().st_mode & 0o7777 == 0o700


def test_the_link_that_stood_there_first_is_kept_however_often_it_is_turned(files_host: FilesHost) -> None:
    files_host.path("localtime").symlink_to("/usr/share/zoneinfo/America/New_York")
    for zone in ("Etc/UTC", "Europe/Berlin"):
        target = f"/usr/share/zoneinfo/{zone}"
        files_host.state(links=[{"path": str(files_host.path("localtime")), "target": target}])

    assert os.readlink(files_host.original("localtime")) == "/usr/share/zoneinfo/America/New_York"


def test_a_file_slipway_made_has_no_original(files_host: FilesHost) -> None:
    for text in ("first\n", "second\n"):
        files_host.state(files_host.file("site.conf", text))

    assert not files_host.original("site.conf").exists()


def test_what_somebody_edited_is_kept_when_it_is_replaced(files_host: FilesHost) -> None:
    files_host.state(files_host.file("site.conf", "ours\n"))
    files_host.path("site.conf").write_text("edited by hand\n")

    answer = files_host.state(files_host.file("site.conf", "ours\n"))

    (kept,) = answer["kept"]
    assert Path(kept).read_text() == "edited by hand\n"
    said = (
        f"{files_host.path('site.conf')} was not as Slipway had left it; what stood there is kept as {kept}."
    )
    assert said in str(answer["warnings"])
    assert files_host.path("site.conf").read_text() == "ours\n"


def test_what_somebody_edited_is_kept_when_it_is_removed(files_host: FilesHost) -> None:
    files_host.state(files_host.file("site.conf", "ours\n"))
    files_host.path("site.conf").write_text("edited by hand\n")

    (kept,) = files_host.state()["kept"]

    assert Path(kept).read_text() == "edited by hand\n"
    assert not files_host.path("site.conf").exists()
    assert Path(kept).parent.stat().st_mode & 0o777 == 0o700


def test_only_what_somebody_edited_is_kept(files_host: FilesHost) -> None:
    files_host.state(files_host.file("site.conf", "ours\n"))
    assert files_host.state(files_host.file("site.conf", "a later version\n"))["kept"] == []
    files_host.path("site.conf").chmod(0o600)
    assert files_host.state(files_host.file("site.conf", "a later version\n"))["kept"] == []
    files_host.path("site.conf").unlink()
    assert files_host.state(files_host.file("site.conf", "a later version\n"))["kept"] == []


def test_a_check_keeps_nothing(files_host: FilesHost) -> None:
    files_host.state(files_host.file("site.conf", "ours\n"))
    files_host.path("site.conf").write_text("edited by hand\n")
    before = files_host.everything()

    files_host.state(files_host.file("site.conf", "ours\n"), check=True)

    assert files_host.everything() == before


def test_the_same_edit_is_kept_once(files_host: FilesHost) -> None:
    files_host.state(files_host.file("site.conf", "ours\n"))
    for _ in range(2):
        files_host.path("site.conf").write_text("edited by hand\n")
        kept = files_host.state(files_host.file("site.conf", "ours\n"))["kept"]

    assert [
        str(path) for path in sorted((files_host.root / "state/replaced").rglob("*.*")) if path.is_file()
    ] == kept


def test_what_an_interrupted_run_left_is_nobodys_edit(files_host: FilesHost) -> None:
    """Whichever call a run dies at, the next keeps no file of Slipway's own as somebody's."""
    calls = 0
    while True:
        files_host.state(files_host.file("site.conf", "ours\n"))
        lived = files_host.die_after(calls, files_host.file("site.conf", "a later version\n"))
        assert files_host.state(files_host.file("site.conf", "a later version\n"))["kept"] == []
        if lived:
            break
        calls += 1

    assert calls > 3
