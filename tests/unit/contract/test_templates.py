"""Every template says whose file it is, says so on the host too, and belongs to one role."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.contract.repository import ROLES, ROOT, role_tasks
from tests.unit.plugins.ansible_run import load_plugin

HEADER = load_plugin("action/host_files").HEADER
TEMPLATES = ROOT / "templates"
EVERY = sorted(TEMPLATES.rglob("*.j2"))
# A part that other templates include is no file of its own.
WHOLE = [path for path in EVERY if not path.name.startswith("_")]
# Files that cannot say who wrote them.
WITHOUT_COMMENTS = {
    "etc/issue.j2": "shown to whoever is about to log in",
    "etc/issue.net.j2": "shown to whoever is about to log in",
    "etc/timezone.j2": "timezone's format is one word, and everything reads the whole file",
    "etc/slipway/{{ app_name }}/database-status.json.j2": "JSON has no comments",
    "etc/slipway/{{ app_name }}/look.json.j2": "JSON has no comments",
}
MANAGED = "{{ slipway_managed | comment"


def named(path: Path) -> str:
    return str(path.relative_to(TEMPLATES))


@pytest.mark.parametrize("path", WHOLE, ids=named)
def test_a_template_begins_with_owner_group_and_mode(path: Path) -> None:
    first = path.read_text(encoding="utf-8").partition("\n")[0]

    assert HEADER.match(first + "\n"), f"templates/{named(path)} begins with {first!r}"


@pytest.mark.parametrize("path", WHOLE, ids=named)
def test_its_file_tells_a_reader_on_the_host_where_it_comes_from(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header = HEADER.match(text)
    assert header is not None
    if header["secret"] or named(path) in WITHOUT_COMMENTS:
        assert MANAGED not in text, (
            f"templates/{named(path)} has the line after all: take it from the exceptions"
        )
        return
    # Above everything of the file but the interpreter and what decides whether there is a file at all.
    lines = [
        line for line in text.splitlines()[1:] if not line.startswith(("{% if", "{% import", "{% set", "#!"))
    ]
    assert lines[0].startswith(MANAGED), (
        f"templates/{named(path)}: the first line of the file is {lines[0]!r}"
    )


def test_the_exceptions_exist() -> None:
    assert [name for name in WITHOUT_COMMENTS if not (TEMPLATES / name).is_file()] == []


@pytest.mark.parametrize("path", [path for path in EVERY if path not in WHOLE], ids=named)
def test_a_part_says_what_it_is_for_and_is_used(path: Path) -> None:
    # By its name from beside it, by its path from anywhere.
    users = {
        *(
            other
            for other in path.parent.glob("*.j2")
            if re.search(rf"(include|import) '{re.escape(path.name)}'", other.read_text("utf-8"))
        ),
        *(other for other in EVERY if f"include '{named(path)}'" in other.read_text("utf-8")),
    }

    assert path.read_text(encoding="utf-8").startswith("{# "), f"templates/{named(path)}"
    assert len(users) > 1, f"templates/{named(path)} is shared by {len(users)} templates"


def claims() -> Counter[str]:
    """{template: how many roles write it}; a role may write a part of its files ahead of the rest."""
    found: Counter[str] = Counter()
    for role in ROLES:
        own: set[str] = set()
        for _, task in role_tasks(role):
            for tree in task.get("host_files", {}).get("trees", []):
                start = TEMPLATES / tree
                single = start.with_name(start.name + ".j2")
                claimed = [path for path in WHOLE if path == single or path.is_relative_to(start)]
                assert claimed, f"roles/{role} claims templates/{tree}, which does not exist"
                own.update(named(path) for path in claimed)
        found.update(own)
    return found


def test_every_template_belongs_to_exactly_one_role() -> None:
    counted = claims()

    assert {named(path): counted[named(path)] for path in WHOLE} == {named(path): 1 for path in WHOLE}
