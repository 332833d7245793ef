"""What is published: a pure wheel that asks for Alembic and SQLAlchemy alone; and who imports whom inside of it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

FOLDER = Path(__file__).resolve().parent.parent


def test_the_contracts_of_imports_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    assert lint_imports(config_filename=str(FOLDER / "pyproject.toml"), no_cache=True) == 0


def test_the_wheel_is_whole_and_has_the_command(tmp_path: Path) -> None:
    source = tmp_path / "migrator"
    source.mkdir()
    for name in ("pyproject.toml", "requirements.in", "README.md", "slipway_migrator"):
        subprocess.run(["/bin/cp", "-R", FOLDER / name, source / name], check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*build, "--wheel-dir", tmp_path, source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*-py3-none-any.whl")
    archive = zipfile.ZipFile(wheel)
    names = {Path(name).name for name in archive.namelist() if name.startswith("slipway_migrator/")}
    assert names == {path.name for path in (FOLDER / "slipway_migrator").iterdir() if path.is_file()}
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    asked = [
        line for line in archive.read(metadata).decode().splitlines() if line.startswith("Requires-Dist: ")
    ]
    assert sorted(line.split()[1].partition("<")[0] for line in asked) == ["alembic", "sqlalchemy"]
    (scripts,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert b"slipway-migrator = slipway_migrator.cli:main" in archive.read(scripts)
