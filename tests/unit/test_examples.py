"""The examples are services as anybody writes them: Slipway is in their pyproject, and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fabfile.bundle import declaration
from fabfile.hosts import environment

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ("hello", "items", "notes")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_knows_slipway_by_its_declaration_alone(name: str) -> None:
    listed = subprocess.run(
        ["git", "ls-files", f"examples/{name}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = [ROOT / path for path in listed.stdout.splitlines() if not path.endswith("README.md")]
    lines = [line for path in paths for line in path.read_text().splitlines() if "slipway" in line.lower()]

    assert lines
    assert all(line.startswith("[tool.slipway") for line in lines)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_declares_what_can_be_used_and_is_what_its_inventory_deploys(name: str) -> None:
    assert declaration.declared(ROOT / "examples" / name)["application"]
    assert declaration.app_name(ROOT / "examples" / name) == name

    found = environment.load(name)
    assert found.app == name
    assert Path(found.source.place).resolve() == ROOT / "examples" / name
