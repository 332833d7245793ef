"""Every regular expression of fab, slipway, the backups and the plugins costs in proportion to the text it is given.

They are read out of the source, so that none can hide in a function; and each is measured in the ways it is used.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_attacks_costs import seconds

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "fabfile",
    "plugins",
    "roles/release/files/slipway",
    "roles/acme/files/slipway_acme",
    "roles/backups/files/database_backup",
)
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
WAYS = {"search", "match", "fullmatch", "split", "findall", "finditer", "sub"}
# Four times the text may cost four times as much; sixteen is a square.
MOST_FOR_FOUR_TIMES = 9
MEASURABLE_SECONDS = 0.001
LENGTHS = (256, 1024, 4096)
CHARACTERS = "a0A -_.:/='\",;@%\\\t\n*$[{("
ENDS = ("", ":", "!\n", "\\")


def _trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """The calls of functions of re, with the function's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = node.func.value
            if isinstance(of, ast.Name) and of.id == "re" and node.func.attr in WAYS | {"compile"}:
                yield node.func.attr, node


def _flags(call: ast.Call) -> int:
    said = [*call.args[1:], *(keyword.value for keyword in call.keywords if keyword.arg == "flags")]
    names = {node.attr for each in said for node in ast.walk(each) if isinstance(node, ast.Attribute)}
    return sum(int(getattr(re, name)) for name in names if isinstance(getattr(re, name, None), re.RegexFlag))


def _used(trees: dict[Path, ast.Module]) -> dict[str, set[str]]:
    """In which ways a name is used, wherever it is: TOKEN.findall, module.TOKEN.findall."""
    found: dict[str, set[str]] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in WAYS:
                name = getattr(node.value, "id", None) or getattr(node.value, "attr", None)
                found.setdefault(str(name), set()).add(node.attr)
    return found


def expressions() -> Iterator[tuple[str, re.Pattern[Any], set[str]]]:
    """(where it stands, the expression, the ways it is used); one that is handed on is taken for a whole match."""
    trees = _trees()
    used = _used(trees)
    for path, tree in trees.items():
        names = {
            id(node.value): node.targets[0].id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for way, call in _calls(tree):
            where = f"{path.relative_to(ROOT)}:{call.lineno}"
            try:
                pattern = ast.literal_eval(call.args[0])
            except ValueError:
                # Made of parts: its text is whatever they are.
                pattern = None
            if isinstance(pattern, str | bytes):
                ways = used.get(names.get(id(call), ""), {"fullmatch"}) if way == "compile" else {way}
                yield where, re.compile(pattern, _flags(call) if way == "compile" else 0), ways


ALL = {where: (pattern, ways) for where, pattern, ways in expressions()}


def grows(pattern: re.Pattern[Any], way: str, repeated: str, end: str) -> str:
    """How its cost grows with a text of these; empty when it is in proportion."""

    def look(text: str) -> object:
        value: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
        if way == "sub":
            return pattern.sub(value[:0], value)
        return list(pattern.finditer(value)) if way == "finditer" else getattr(pattern, way)(value)

    for length in LENGTHS:
        short = seconds(look, repeated * (length // len(repeated) + 1) + end)
        if short < MEASURABLE_SECONDS:
            continue
        long = seconds(look, repeated * (4 * length // len(repeated) + 1) + end)
        if long > MOST_FOR_FOUR_TIMES * short:
            return f"{way} of {repeated!r} to {length}, then {end!r}: {short:.4f} s, four times as long: {long:.4f} s"
    return ""


@pytest.mark.parametrize("where", ALL)
def test_every_expression_costs_in_proportion_to_the_text(where: str) -> None:
    pattern, ways = ALL[where]
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    words = {word for word in re.findall(r"[A-Za-z]{2,}|[0-9]+", text) if word}
    shapes = [
        *CHARACTERS,
        *words,
        *(word + mark for word in words for mark in "= :"),
        "a.",
        "a-",
        '"",',
        "1 ",
    ]
    slow = [
        found for way in ways for each in shapes for end in ENDS if (found := grows(pattern, way, each, end))
    ]
    assert not slow, slow


def test_the_expressions_are_found_where_they_are() -> None:
    folders = {where.partition("/")[0] for where in ALL}
    assert folders == {"fabfile", "plugins", "roles"}
    assert len(ALL) > 70


def test_the_measure_sees_a_square() -> None:
    assert grows(re.compile(r"\w*!"), "search", "a", "")
    assert grows(re.compile(r"a*a*b"), "fullmatch", "a", "")
