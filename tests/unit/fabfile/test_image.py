"""`fab image`: what may be a base, what the tool is told, and what it is given of a bundle."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fabfile.bundle.archive import Bundle
from fabfile.errors import BuildError, RefusedError
from fabfile.images import building, context
from tests.unit.slipway import support

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    path = support.good_bundle(tmp_path)
    return Bundle(path, support.sha256(path), support.RELEASE, "shop")


@pytest.mark.parametrize(
    "base",
    ["localhost/slipway-base:12", "localhost/team/python:3.11-a", f"registry.example/python@sha256:{DIGEST}"],
)
def test_a_base_is_of_this_machine_or_named_by_its_digest(base: str) -> None:
    building.check_base(base)


@pytest.mark.parametrize(
    "base",
    [
        "python:3.11-slim",
        "registry.example/python:3.11-slim-bookworm",
        "localhost/slipway-base:latest",
        "python@sha256:0123",
        "",
        "--build-arg=X",
        "localhost/x:1 --network=host",
    ],
)
def test_a_base_that_may_be_another_tomorrow_is_refused(base: str) -> None:
    with pytest.raises(RefusedError, match=r"may be another image tomorrow.*Nothing was built"):
        building.check_base(base)


@pytest.mark.parametrize("tool", building.TOOLS)
def test_no_tool_may_fetch_anything(tool: str) -> None:
    words = building.command(tool, building.BASE, "localhost/shop:1", {"org.slipway.release": "1"})

    assert words[:2] == [tool, "build"]
    assert "--network=none" in words
    assert (tool == "docker") or {"--pull=never", "--format=docker"} <= set(words)


def test_a_tool_that_builds_nothing_is_refused() -> None:
    with pytest.raises(RefusedError, match="'make' builds no image; podman, buildah, docker do"):
        building.find("make")


def test_a_machine_without_any_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)

    with pytest.raises(RefusedError, match=r"no podman and no buildah and no docker.*apt-get install podman"):
        building.find("")


def test_what_a_tool_is_given_is_the_same_each_time(bundle: Bundle, tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        place = tmp_path / name
        place.mkdir()
        context.write(bundle, place)
        found.append(
            {
                str(path.relative_to(place)): (
                    path.stat().st_mode,
                    path.stat().st_mtime,
                    support.sha256(path),
                )
                for path in place.rglob("*")
                if path.is_file()
            }
        )

    assert found[0] == found[1]
    assert {mtime for _, mtime, _ in found[0].values()} == {context.TIME}


def test_nothing_of_a_commit_is_where_the_lock_is_installed(tmp_path: Path) -> None:
    """Else each commit would make a new environment."""
    found = []
    for release in (support.RELEASE, support.OTHER):
        path = support.good_bundle(tmp_path, release, application={"shop/more.py": release})
        place = tmp_path / f"context-{release}"
        place.mkdir()
        context.write(Bundle(path, support.sha256(path), release, "shop"), place)
        found.append(
            {each.name: support.sha256(each) for each in (place / "environment").rglob("*") if each.is_file()}
        )

    assert "pins.txt" in found[0]
    assert found[0] == found[1]


def test_pip_is_told_what_a_host_tells_it(bundle: Bundle, tmp_path: Path) -> None:
    place = tmp_path / "context"
    place.mkdir()
    context.write(bundle, place)

    for part in ("environment", "release"):
        script = (place / part / "install").read_text()
        for word in ("--no-index", "--require-hashes", "--no-deps", "--only-binary=:all:"):
            assert word in script
        assert subprocess.run(["bash", "-n", place / part / "install"]).returncode == 0
    manifest = json.loads((place / "release/manifest.json").read_text())
    assert manifest["bundle_sha256"] == bundle.sha256
    assert manifest["release"] == bundle.release


def test_a_damaged_bundle_becomes_no_image(bundle: Bundle, tmp_path: Path) -> None:
    bundle.path.write_bytes(bundle.path.read_bytes()[:-200])
    (tmp_path / "context").mkdir()

    with pytest.raises(RefusedError, match=r"cut or damaged.*Nothing was built"):
        context.write(bundle, tmp_path / "context")


def test_what_the_tool_complains_of_is_told(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "bin/podman"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho the disk is full >&2\nexit 125\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")

    with pytest.raises(
        BuildError,
        match=r"podman could not build localhost/shop:.*no image has that name[\s\S]*disk is full",
    ):
        building.build(bundle)
