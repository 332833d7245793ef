"""Every command that a page shows can be typed: the program, the task or target, and its options exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabfile import namespace
from fabfile.tasks.words import TAKES_THE_REST
from tests.unit.contract.repository import ROOT, files, named

# Decisions and faults quote what could be typed once.
PAGES = sorted(
    path
    for path in files()
    if path.suffix == ".md" and path.parent.name != "adr" and path.name != "faults.md"
)
SHOWN = re.compile(r"^\$ (.+)$|`((?:fab|make|ansible-playbook) [^`]+)`", re.M)
# What a made-up value looks like: an ellipsis, <id>, or a choice in capitals.
PLACEHOLDER = re.compile(r"…|<[^>]*>|\.\.\.")
TASKS: dict[str, Any] = dict(namespace.tasks)
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def commands() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for shown, named_in_text in SHOWN.findall(page.read_text(encoding="utf-8")):
            yield page, re.sub(r"\s+#.*$", "", shown or named_in_text)


def words(command: str) -> list[str]:
    try:
        return shlex.split(PLACEHOLDER.sub("X", command))
    except ValueError:
        return command.split()


def wrong_with_fab(typed: list[str]) -> str:
    if len(typed) < 2 or typed[1].startswith("-"):
        return ""
    if typed[1] not in TASKS:
        return f"fab has no task {typed[1]}"
    known = {option for argument in TASKS[typed[1]].get_arguments() for option in argument.names}
    known = {name.replace("_", "-") for name in known} | {"help"}
    # What stands behind -- are the words of a command of the service.
    ours = typed[2 : typed.index("--")] if typed[1] == TAKES_THE_REST and "--" in typed else typed[2:]
    asked = [word[2:].partition("=")[0] for word in ours if word.startswith("--")]
    unknown = [name for name in asked if name not in known and name.removeprefix("no-") not in known]
    return f"fab {typed[1]} has no option {', '.join(unknown)}" if unknown else ""


def wrong_with_make(typed: list[str]) -> str:
    targets = [word for word in typed[1:] if re.fullmatch(r"[a-z][a-z0-9-]*", word)]
    unknown = [target for target in targets if target not in TARGETS]
    return f"make has no target {', '.join(unknown)}" if unknown else ""


def wrong_with_playbooks(typed: list[str]) -> str:
    asked = [word for word in typed[1:] if word.endswith(".yml") and not word.startswith("-")]
    missing = [name for name in asked if not (ROOT / name).is_file()]
    return f"there is no playbook {', '.join(missing)}" if missing else ""


CHECKS = {"fab": wrong_with_fab, "make": wrong_with_make, "ansible-playbook": wrong_with_playbooks}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_of_a_page_can_be_typed(page: Path) -> None:
    shown = [command for where, command in commands() if where == page]

    wrong = {
        command: said
        for command in shown
        if (typed := words(command)) and typed[0] in CHECKS and (said := CHECKS[typed[0]](typed))
    }

    assert not wrong, "\n".join(f"{command}: {said}" for command, said in wrong.items())


def test_the_readme_says_where_fab_is_before_it_types_it() -> None:
    shown = re.findall(r"^\$ (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    typed = [re.sub(r"\s+#.*$", "", command) for command in shown]

    assert "source .venv/bin/activate" in typed
    first = next(
        number for number, command in enumerate(typed) if command.startswith(("fab ", "ansible-playbook "))
    )
    assert typed.index("source .venv/bin/activate") < first
