"""What a service says of itself in [tool.slipway]: what is taken, and what is refused, whoever wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fabfile.bundle import declaration
from fabfile.bundle.host_rules import Declaration, Timer
from fabfile.bundle.host_rules import declaration_rules as rules
from fabfile.errors import BuildError

FULL = """
[project]
name = "notes"

[tool.slipway]
application = "notes.main:create"
factory = true
preload = true
health = "/health"
check = "notes check --quick"
log_config = "share/notes/logging.json"
websockets = true
migrations = "alembic"
backfills = "notes.backfills:ALL"
schema = "notes"
static = "notes:static"
environment_prefix = "NOTES_"
environment = { DATABASE_URL = "url" }
driver = "psycopg"

[tool.slipway.processes]
worker = "notes work --queue 'by hand'"

[tool.slipway.timers]
tidy = { command = ["notes", "tidy"], calendar = "*-*-* 03:00:00" }
"""


def written(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_service_that_says_everything_is_understood(tmp_path: Path) -> None:
    said = declaration.declared(written(tmp_path, FULL))

    found = Declaration.of("notes", said)

    assert found.application == "notes.main:create"
    assert (found.factory, found.preload, found.websockets, found.sends_release) == (True, True, True, False)
    assert found.health == "/health"
    assert found.check == ("notes", "check", "--quick")
    assert found.processes == {"worker": ("notes", "work", "--queue", "by hand")}
    assert found.timers == {"tidy": Timer(("notes", "tidy"), "*-*-* 03:00:00")}


def test_a_service_that_says_its_application_alone_gets_defaults() -> None:
    found = Declaration.of("notes", {"application": "notes:app"})

    assert (found.factory, found.preload, found.log_config, found.websockets) == (False, False, None, False)
    assert found.check == ()
    assert (found.health, found.sends_release) == ("/health/ready", False)
    assert (found.migrations, found.processes, found.timers) == (None, {}, {})


def test_a_release_of_before_has_what_was_settled_then() -> None:
    found = Declaration.of("shop", {"name": "shop", "migrations": "shop:migrations"})

    assert (found.application, found.factory) == ("shop.main:application", True)
    assert (found.check, found.log_config) == (("shop", "check-config"), "share/shop/logging.json")
    assert (found.sends_release, found.health) == (True, "/health/ready")
    assert Declaration.of("shop", None) == Declaration.of("shop", {})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"aplication": "a:b"}, "'aplication', which Slipway does not know; it knows application, "),
    ({"application": "notes.main"}, "its application is 'notes.main': it must be package.module:attribute"),
    ({"application": "a:b\n"}, "its application is 'a:b\\n'"),
    ({"application": 'a:b" --reload'}, "its application is"),
    ({"application": "a:é"}, "its application is"),
    ({"application": "x" * (1 << 20)}, "its application is 'xxx"),
    ({"application": ["a:b"]}, "its application is ['a:b']"),
    ({"factory": "true"}, "its factory is 'true': it must be one of true, false"),
    ({"factory": 1}, "its factory is 1"),
    ({"health": "health"}, "its health is 'health': it must be the path of a URL"),
    ({"health": "/a b"}, "its health is"),
    ({"health": "/a\r\nHost: x"}, "its health is"),
    ({"health": "/../metrics"}, "its health is"),
    ({"check": ""}, "its check is ''"),
    ({"check": "/bin/sh -c id"}, "it must begin with the name of a program in the release's venv/bin"),
    ({"check": "../../bin/sh"}, "it must begin with the name of a program"),
    ({"check": 'notes "check'}, "which is no command: No closing quotation"),
    ({"check": ["notes", "a\nb"]}, "its check has the word 'a\\nb'"),
    ({"check": ["notes", ""]}, "its check has the word ''"),
    ({"check": ["notes", "\ud800"]}, "its check has the word '\\ud800'"),
    ({"check": ["notes"] * 33}, "its check is"),
    ({"check": "n" + " a" * (1 << 20)}, "it is too long"),
    ({"check": {"notes": 1}}, "which is no command"),
    ({"log_config": "/etc/passwd"}, "its log_config is '/etc/passwd'"),
    ({"log_config": "share/../../x"}, "its log_config is"),
    ({"migrations": "../alembic"}, "its migrations is"),
    ({"migrations": "/srv"}, "its migrations is"),
    ({"static": "static"}, "its static is 'static': it must be package:folder of the wheel"),
    ({"static": "notes:../../etc"}, "its static is"),
    ({"schema": "Notes"}, "its schema is"),
    ({"environment_prefix": "notes-"}, "its environment_prefix is"),
    ({"environment": {"A B": "url"}}, "its environment has 'A B'"),
    ({"environment": {"DATABASE_URL": "dsn"}}, "its environment DATABASE_URL is 'dsn'"),
    ({"environment": {"KEY": "credential:../shadow"}}, "its environment KEY is 'credential:../shadow'"),
    # Which of the two logins has it is the host's to know.
    ({"environment": {"PASSWORD": "credential:database_password"}}, "it must be one of url, host,"),
    ({"environment": {f"A{number}": "url" for number in range(17)}}, "of 16 at most"),
    ({"driver": "pg8000"}, "its driver is 'pg8000': it must be one of psycopg, psycopg2, asyncpg"),
    ({"name": "My-Notes"}, "its name is 'My-Notes'"),
    ({"processes": ["worker"]}, "its processes is ['worker']: it must be a table"),
    ({"processes": {"migrate": "notes work"}}, "its processes has migrate"),
    ({"processes": {"w" * 25: "notes work"}}, "or it is over 24 letters"),
    ({"processes": {"a@b": "notes work"}}, "its processes has 'a@b'"),
    ({"processes": {"worker": "sh; id"}}, "its processes worker is 'sh; id'"),
    ({"timers": {"tidy": "notes tidy"}}, "its timers tidy is 'notes tidy': it must be { command ="),
    ({"timers": {"tidy": {"command": "notes tidy", "calendar": "daily\nUser=root"}}}, "tidy calendar is"),
    ({"timers": {"tidy": {"command": "", "calendar": "daily"}}}, "tidy command is"),
]


@pytest.mark.parametrize(("said", "sentence"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_used_is_refused_in_a_short_sentence(said: dict[str, Any], sentence: str) -> None:
    found = rules.complaints({"application": "notes:app", **said})

    assert len(found) == 1
    assert sentence in found[0]
    assert len(found[0]) < 400
    assert found[0].isprintable()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"application": "a:b", "backfills": "a:B"}, "it has backfills and no migrations"),
        (
            {
                "application": "a:b",
                "processes": {"x": "a"},
                "timers": {"x": {"command": "a", "calendar": "daily"}},
            },
            "x is a process and a timer",
        ),
        ({"websockets": True}, "it has websockets and no application"),
    ],
)
def test_what_contradicts_itself_is_refused(said: dict[str, Any], sentence: str) -> None:
    assert [sentence in found for found in rules.complaints(said)] == [True]


@pytest.mark.parametrize("said", [None, [], "text", 1])
def test_what_is_no_table_is_refused(said: object) -> None:
    assert rules.complaints(said) == ["it is no table"]


def test_a_build_says_which_file_and_that_nothing_was_built(tmp_path: Path) -> None:
    with pytest.raises(
        BuildError, match=r"\[tool.slipway\] of .*pyproject.toml: its factory .*Nothing was built"
    ):
        declaration.declared(written(tmp_path, '[tool.slipway]\napplication = "a:b"\nfactory = 1\n'))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not name its project"),
        ("[project]\nname = 'My-Notes'\n", r"is called 'My-Notes': .*\[tool.slipway\] name"),
        ("[project", "cannot be read"),
    ],
)
def test_a_service_needs_a_name_that_users_and_units_can_have(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BuildError, match=said):
        declaration.app_name(written(tmp_path, text))


def test_a_project_of_another_name_says_what_the_service_is_called(tmp_path: Path) -> None:
    text = "[project]\nname = 'my-notes'\n[tool.slipway]\nname = 'notes'\n"

    assert declaration.app_name(written(tmp_path, text)) == "notes"
