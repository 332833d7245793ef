"""A host's files are replaced whole or not at all, whenever the replacement is cut off."""

from pathlib import Path

import pytest

from tests.lab import layers
from tests.lab.errors import LabError


def layer(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    target, fresh = layer(tmp_path / "upper", "old"), layer(tmp_path / "upper.partial", "new")
    layers.replace_folder(fresh, target)
    assert (target / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["upper"]


def test_cut_off_between_the_two_renames_the_old_files_come_back(tmp_path: Path) -> None:
    layer(tmp_path / "upper.old", "old")
    layer(tmp_path / "upper.partial", "new")
    layers.settle_folder(tmp_path / "upper")
    assert (tmp_path / "upper/file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["upper"]


def test_cut_off_before_the_renames_the_half_copy_goes(tmp_path: Path) -> None:
    layer(tmp_path / "upper", "old")
    layer(tmp_path / "upper.partial", "ne")
    layers.settle_folder(tmp_path / "upper")
    assert (tmp_path / "upper/file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["upper"]


def test_cut_off_after_the_renames_the_old_files_go(tmp_path: Path) -> None:
    layer(tmp_path / "upper", "new")
    layer(tmp_path / "upper.old", "old")
    layers.settle_folder(tmp_path / "upper")
    assert (tmp_path / "upper/file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["upper"]


def test_a_half_made_snapshot_has_no_name(tmp_path: Path) -> None:
    for name in ("bare", "bare.partial", "site-1", "site-1.old"):
        (tmp_path / name).mkdir()
    assert layers.names(tmp_path) == ["bare", "site-1"]


@pytest.mark.parametrize("name", ["", "A", "a.partial", "../a", "a/b", "-a"])
def test_a_name_that_cannot_be_a_folders_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="cannot name a snapshot"):
        layers.check_name(name)
