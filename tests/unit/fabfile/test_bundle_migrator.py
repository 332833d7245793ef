"""The migrator in a bundle: of the same commit, pinned as other wheels, the same bytes as long as it is the same."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from slipway.releases import interpreter

from fabfile.bundle import archive
from fabfile.bundle.wheels import Target
from fabfile.errors import BuildError
from tests.unit.conftest import Slipway
from tests.unit.fabfile.bundle_support import BACKEND, PYPROJECT, Project, manifest
from tests.unit.fabfile.test_bundle_build import project
from tests.unit.slipway import support

__all__ = ["project"]
SAYS = PYPROJECT + '\n[tool.slipway]\nmigrations = "shop:migrations"\n'
WHEEL = "slipway_migrator-1.0-py3-none-any.whl"


@pytest.fixture
def migrating(project: Project) -> Project:
    """The same, with a migrator beside the service, which says where its migrations are."""
    beside = project.service.parent / "migrator"
    (beside / "slipway_migrator").mkdir(parents=True)
    (beside / "pyproject.toml").write_text(PYPROJECT)
    (beside / "backend.py").write_text(
        BACKEND.replace("shop", "slipway_migrator").replace(
            "Name: slipway_migrator", "Name: slipway-migrator"
        )
    )
    (beside / "slipway_migrator/__init__.py").write_text("")
    project.write("pyproject.toml", SAYS)
    project.commit()
    return project


def member(built: archive.Bundle, name: str) -> bytes:
    with tarfile.open(built.path) as archive:
        content = archive.extractfile(name)
        assert content is not None
        return content.read()


def test_a_service_that_migrates_gets_the_migrator_pinned_beside_its_own_wheels(migrating: Project) -> None:
    built = migrating.build()

    said: dict[str, Any] = manifest(built)
    digest = said["files"][f"wheelhouse/{WHEEL}"]["sha256"]
    lock = member(built, "requirements.lock").decode()
    assert said["service"] == {"migrations": "shop:migrations"}
    assert lock.startswith((migrating.service / "requirements.lock").read_text())
    assert lock.splitlines()[-1] == f"slipway-migrator==1.0 --hash=sha256:{digest}"


def test_a_host_installs_it(migrating: Project, host: support.Host, slipway: Slipway) -> None:
    built = migrating.build(targets=[Target(interpreter.of(host).short, host.machine())])

    slipway("stage", "--bundle", "-", "--sha256", built.sha256, given=built.path)

    there = host.release(built.release)
    subprocess.run([there / "venv/bin/python", "-c", "import slipway_migrator"], check=True, cwd="/")
    assert b'"migrations": "shop:migrations"' in (there / "manifest.json").read_bytes()


def test_a_service_without_migrations_of_its_own_gets_none(project: Project) -> None:
    said = manifest(project.build())

    assert "service" not in said
    assert not [name for name in said["files"] if "migrator" in name]


def test_its_bytes_are_the_same_in_the_next_commit_and_other_ones_once_it_changes(migrating: Project) -> None:
    first = member(migrating.build("one"), f"wheelhouse/{WHEEL}")
    migrating.write("shop/__init__.py", "CHANGED = True\n")
    migrating.commit()
    anew = migrating.folder / "elsewhere/wheelhouse"
    assert member(migrating.build("two"), f"wheelhouse/{WHEEL}") == first
    assert member(migrating.build("three", cache=anew), f"wheelhouse/{WHEEL}") == first

    (migrating.service.parent / "migrator/slipway_migrator/__init__.py").write_text("CHANGED = True\n")
    with pytest.raises(BuildError, match=r"migrator/slipway_migrator/__init__\.py"):
        migrating.build("four")
    assert member(migrating.build("five", allow_dirty=True), f"wheelhouse/{WHEEL}") != first
    migrating.commit()
    assert member(migrating.build("six"), f"wheelhouse/{WHEEL}") != first


def test_a_service_in_a_repository_of_its_own_gets_slipways(
    project: Project, migrating: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = Project(tmp_path / "other")
    other.write("pyproject.toml", SAYS)
    other.commit()
    monkeypatch.setattr(archive, "PROJECT", migrating.service.parent)
    monkeypatch.setenv("PIP_INDEX_URL", other.index.as_uri())

    assert f"wheelhouse/{WHEEL}" in manifest(other.build())["files"]


def test_what_slipway_does_not_know_is_refused_with_what_it_knows(project: Project) -> None:
    project.write("pyproject.toml", SAYS + 'migration = "shop:migrations"\n')
    project.commit()

    with pytest.raises(
        BuildError, match=r"it has .migration., which Slipway does not know; it knows application, "
    ):
        project.build()
