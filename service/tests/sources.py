"""The service's own source, as tests read it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from conftest import SERVICE


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the package and its syntax tree."""
    for path in sorted((SERVICE / "shop").rglob("*.py")):
        yield path.relative_to(SERVICE), ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.AST) -> set[str]:
    """The last names of all that is called below `tree`: `commit` for session.commit()."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                names.add(node.func.attr)
            elif isinstance(node.func, ast.Name):
                names.add(node.func.id)
    return names


def imported(tree: ast.AST) -> set[str]:
    """The full names of all that is imported below `tree`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names
