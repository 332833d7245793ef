"""The wheel alone, with no checkout beside it, can name its schema and migrate."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from slipway_migrator import project

from conftest import SERVICE, Database, run_shop
from shop.core.health import revisions

pytestmark = pytest.mark.differs("the wheel is installed by the interpreter's own pip")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that the checkout stays clean."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "service"
    source.mkdir()
    for name in (
        "pyproject.toml",
        "setup.py",
        "requirements.in",
        "requirements-slipway.in",
        "README.md",
        "shop",
        "migrations",
    ):
        subprocess.run(["/bin/cp", "-R", SERVICE / name, source / name], check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*build, "--wheel-dir", directory, source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = directory.glob("*.whl")
    return wheel


def test_it_is_pure_python_and_complete(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, target in (("shop", "shop"), ("migrations", "shop/migrations")):
        for path in (SERVICE / folder).rglob("*"):
            if path.suffix in (".py", ".mako", ".json", ".typed"):
                assert f"{target}/{path.relative_to(SERVICE / folder)}" in names
    assert [name for name in names if name.endswith(".data/data/share/shop/logging.json")]


def test_it_asks_for_what_requirements_in_lists(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    required = {
        line.removeprefix("Requires-Dist: ").split("<")[0].split(">")[0]
        for line in archive.read(metadata).decode().splitlines()
        if line.startswith("Requires-Dist: ")
    }
    files = ("requirements.in", "requirements-slipway.in")
    listed = [line for name in files for line in (SERVICE / name).read_text(encoding="utf-8").splitlines()]
    assert required == {line.split(">")[0] for line in listed if line and not line.startswith("#")}


def test_it_migrates_by_itself(wheel: Path, empty_database: Database, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    environ = empty_database.environ(tmp_path / "credentials", PYTHONPATH=str(installed))
    # As a host has it: a release's manifest says where its migrations are, and no checkout is near.
    said = {"migrations": project.load(SERVICE).migrations}
    release = tmp_path / "release"
    release.mkdir()
    (release / "manifest.json").write_text(json.dumps({"app": "shop", "service": said}))
    assert run_shop("schema-head", environ, folder=release).stdout.strip() == revisions().head
    done = run_shop("migrate", environ, folder=release)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"from": None, "to": revisions().head}
