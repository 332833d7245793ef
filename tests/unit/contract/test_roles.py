"""Every role is used the same way: documented variables, checked values, names that say whose they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.playbook.block import Block
from ansible.playbook.handler import Handler
from ansible.playbook.role_include import IncludeRole
from ansible.playbook.task import Task

from tests.unit.contract import repository
from tests.unit.contract.repository import ROLES, ROOT

every_role = pytest.mark.parametrize("role", ROLES)

TASK_FILE_LINES = 80
PARTS = ("defaults/main.yml", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml", "README.md")
# What a default may be when the specification calls it so; text with Jinja becomes its type on the host.
TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str, "int": int, "float": (int, float), "bool": bool, "list": list, "dict": dict,
}  # fmt: skip
KEYWORDS = {name for kind in (Task, Handler, Block, IncludeRole) for name in kind.fattributes}
KEYWORDS |= {"block", "rescue", "always", "listen", "local_action", "args"}


@every_role
def test_a_role_has_every_part(role: str) -> None:
    missing = [part for part in PARTS if not (ROOT / "roles" / role / part).is_file()]

    assert not missing, f"roles/{role} lacks {', '.join(missing)}"


@every_role
def test_specification_and_defaults_hold_the_same_variables_and_values(role: str) -> None:
    specified = {name: option.get("default") for name, option in repository.options(role).items()}

    assert specified == repository.defaults(role)


@every_role
def test_what_a_role_is_given_is_checked_before_any_host_changes(role: str) -> None:
    plays = repository.load(ROOT / "playbooks/preflight.yml")
    imported = {
        str(task["ansible.builtin.import_role"]["name"]): task
        for play in plays
        for task in play["tasks"]
        if task.get("ansible.builtin.import_role", {}).get("tasks_from") == "preflight"
    }

    assert role in imported, f"playbooks/preflight.yml does not import the preflight of {role}"
    if imported[role].get("tags") == ["never"]:
        assert f"__{role}_refusals | refusals" in str(plays), (
            f"playbooks/preflight.yml does not refuse what {role} does"
        )
    assert set(repository.specification(role)) == {"main"}


@every_role
def test_every_variable_is_described_and_its_default_is_of_its_type(role: str) -> None:
    for name, option in repository.options(role).items():
        assert "".join(option["description"]).strip(), f"{name} has no description"
        default = option["default"]
        templated = isinstance(default, str) and "{{" in default
        assert templated or isinstance(default, TYPES[option["type"]]), (
            f"{name} is a {option['type']}: {default!r}"
        )
        assert not (option["type"] == "int" and isinstance(default, bool)), f"{name} is a number: {default!r}"
        assert default in option.get("choices", [default]), f"{name}: {default!r} is none of its choices"


@every_role
def test_every_default_stands_below_a_comment_on_when_to_change_it(role: str) -> None:
    text = (ROOT / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8")
    blocks = [block for block in text.removeprefix("---\n").split("\n\n") if block.strip()]

    for block in blocks:
        assert re.match(r"# \w", block), f"roles/{role}/defaults/main.yml: no comment above\n{block}"


@every_role
def test_the_readme_names_every_variable_with_its_type_and_default(role: str) -> None:
    readme = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    rows = {}
    for line in readme.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)]
        if len(cells) == 6 and cells[1].startswith("`"):
            rows[cells[1].strip("`")] = (cells[2], cells[3])
    expected = {
        name: (option["type"], "(empty)" if option["default"] == "" else f"`{option['default']}`")
        for name, option in repository.options(role).items()
    }

    assert rows == expected


@every_role
def test_no_task_file_is_longer_than_a_screen_or_two(role: str) -> None:
    for path in sorted((ROOT / "roles" / role / "tasks").glob("*.yml")):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= TASK_FILE_LINES, (
            f"{repository.named(path)} has {lines} lines, more than {TASK_FILE_LINES}"
        )


@every_role
def test_public_variables_carry_the_roles_name(role: str) -> None:
    for name in repository.defaults(role):
        assert name.startswith(f"{role}_"), f"roles/{role}: {name} does not begin with {role}_"


@every_role
def test_internal_names_carry_the_roles_name_and_two_underscores(role: str) -> None:
    own = f"__{role}_"
    for path in sorted((ROOT / "roles" / role / "vars").glob("*.yml")):
        for name in repository.load(path):
            assert name.startswith(own), f"{repository.named(path)}: {name} does not begin with {own}"
    for path, task in repository.role_tasks(role):
        for name in internal_names(task):
            assert name.startswith(own), f"{repository.named(path)}: {name} does not begin with {own}"


def internal_names(task: dict[str, Any]) -> Iterator[str]:
    """Names that a task makes: its variables, what it registers, its loop's variables, facts it sets."""
    control = task.get("loop_control", {})
    yield from (str(task["register"]),) if "register" in task else ()
    yield from (str(control[key]) for key in ("loop_var", "index_var") if key in control)
    yield from (str(name) for name in task.get("vars", {}))
    yield from (str(name) for name in task.get("ansible.builtin.set_fact", {}) if name != "cacheable")


def task_files() -> list[Path]:
    """Task files of roles and playbooks, each once."""
    roles = [path for role in ROLES for path in sorted((ROOT / "roles" / role).glob("tasks/*.yml"))]
    handlers = [path for role in ROLES for path in sorted((ROOT / "roles" / role).glob("handlers/*.yml"))]
    return [*roles, *handlers, *sorted((ROOT / "playbooks/tasks").glob("*.yml"))]


@pytest.mark.parametrize("path", task_files(), ids=repository.named)
def test_every_task_names_its_module_in_full(path: Path) -> None:
    for task in repository.tasks(path):
        modules = {name for name in task if name not in KEYWORDS and not name.startswith("with_")}
        short = {name for name in modules if "." not in name} - repository.OUR_PLUGINS
        assert not short, (
            f"{repository.named(path)}, {task.get('name')}: {', '.join(sorted(short))} is no full name"
        )
        assert len(modules) == (0 if "block" in task else 1), f"{repository.named(path)}: {task.get('name')}"


@pytest.mark.parametrize("path", task_files(), ids=repository.named)
def test_every_task_says_in_a_sentence_what_it_is_for(path: Path) -> None:
    for task in repository.tasks(path):
        name = str(task.get("name", ""))
        assert name[:1].isupper(), f"{repository.named(path)}: a task has no name that is a sentence: {task}"


def test_a_user_that_a_role_makes_is_given_its_own_group_which_the_role_makes() -> None:
    """Left to the host, it is that of all users where login.defs has USERGROUPS_ENAB no."""
    made, grouped = set(), set()
    for role in ROLES:
        for _, task in repository.role_tasks(role):
            if (user := task.get("ansible.builtin.user")) and "shell" in user:
                made.add(user["name"])
                assert user["name"] in user.get("group", ""), f"{role}: {task['name']}"
            grouped.add(task.get("ansible.builtin.group", {}).get("name"))

    assert made
    assert made <= grouped, made - grouped
