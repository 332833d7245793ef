"""A module fits in a reader's head, a function on the screen, and `make help` names every command."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.contract.repository import ROOT, below, named

MODULES = below(
    "dashboards",
    "plugins",
    "fabfile",
    "tests/lab",
    "roles/release/files",
    "roles/acme/files",
    "roles/backups/files",
    "migrator/slipway_migrator",
    "service/shop",
    suffix=".py",
)
MODULE_LINES = 250
FUNCTION_LINES = 60


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_is_under_250_lines(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())

    assert lines < MODULE_LINES, f"{named(path)} has {lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_function_is_under_60_lines(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines < FUNCTION_LINES, f"{named(path)}: {node.name} has {lines} lines"


def test_make_help_names_every_command() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = " ".join(re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)).split()
    printed = subprocess.run(
        ["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = re.findall(r"^  make (\S+) +\S", printed.stdout, re.MULTILINE)

    assert sorted(listed) == sorted(targets), printed.stdout
