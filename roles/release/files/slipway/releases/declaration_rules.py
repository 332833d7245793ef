"""What a service may say of itself in `[tool.slipway]`, key by key: whoever wrote it, it can be used afterwards.

Nothing that passes leaves the word of a shell, a line of a unit's file, or the folder of a release.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

DRIVERS = ("psycopg", "psycopg2", "asyncpg")
# What a variable of the service's own can be given: a part of the database's address, or a credential. address is a
# host that is no socket's folder. The migrator's own project.py has the same.
PARTS = ("url", "host", "address", "port", "name", "user", "password", "ca")
CREDENTIAL = re.compile(r"credential:(?!(?:migrate_)?database_password)([a-z][a-z0-9_]{0,60})")
MOST = 8
MOST_WORDS = 32
# Units of Slipway's own are called <app>-NAME.
TAKEN = {"backfill", "backfill-ask", "build", "exec", "migrate", "warm"}

_WORD = "[A-Za-z_][A-Za-z0-9_]{0,63}"
_DOTTED = rf"{_WORD}(\.{_WORD}){{0,7}}"
# [0-9] and [A-Z], because \d and \w also match other scripts; fullmatch, because $ lets a line break pass.
APP_NAME = re.compile(r"[a-z][a-z0-9_]{0,23}")
OBJECT = re.compile(rf"{_DOTTED}:{_DOTTED}")
URL_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,199}")
FILE_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,15}")
MIGRATIONS = re.compile(rf"({_DOTTED}:)?{FILE_PATH.pattern}")
STATIC = re.compile(rf"{_DOTTED}:{FILE_PATH.pattern}")
SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
PREFIX = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
VARIABLE = re.compile(_WORD)
PROGRAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
UNIT_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+){0,3}")
CALENDAR = re.compile(r"[A-Za-z0-9*,.:/~ -]{1,100}")
ARGUMENT = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,200}")
LONGEST = 255

Check = Callable[[object], str]


def words(command: object) -> tuple[str, ...]:
    """The words of a command, a list or one text as a shell would take it apart. Raises ValueError, TypeError."""
    if isinstance(command, str):
        return tuple(shlex.split(command))
    if isinstance(command, (list, tuple)) and all(isinstance(word, str) for word in command):
        return tuple(command)
    raise TypeError("it is neither text nor a list of words")


def complaints(said: object) -> list[str]:
    """What is wrong with a table, a sentence each: what it says, what it must be. Empty when it can be used."""
    if not isinstance(said, Mapping):
        return ["it is no table"]
    unknown = sorted(shown(key) for key in said.keys() - KEYS.keys())
    wrong = [
        f"it has {', '.join(unknown[:5])}, which Slipway does not know; it knows {', '.join(sorted(KEYS))}"
    ]
    found = wrong if unknown else []
    for key, check in KEYS.items():
        if key in said and (reason := check(said[key])):
            found.append(f"its {key} {reason}")
    return found or _contradictions(said)


def _contradictions(said: Mapping[str, Any]) -> list[str]:
    found = []
    if "migrations" not in said and "backfills" in said:
        found.append(
            "it has backfills and no migrations: what a backfill writes its progress to comes with them"
        )
    if both := sorted(said.get("processes", {}).keys() & said.get("timers", {}).keys()):
        found.append(f"{both[0]} is a process and a timer: their units would have one name")
    if "application" not in said and (needing := sorted(said.keys() & {*NEED_APPLICATION})):
        found.append(f"it has {needing[0]} and no application")
    return found


def shown(value: object) -> str:
    """A value from outside, short enough for a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text(form: re.Pattern[str], rule: str, without: str = "..") -> Check:
    def check(value: object) -> str:
        good = isinstance(value, str) and len(value) <= LONGEST and form.fullmatch(value)
        return "" if good and without not in str(value) else f"is {shown(value)}: it must be {rule}"

    return check


def _one_of(*choices: object) -> Check:
    names = ", ".join(str(choice).lower() for choice in choices)

    def check(value: object) -> str:
        good = isinstance(value, type(choices[0])) and value in choices
        return "" if good else f"is {shown(value)}: it must be one of {names}"

    return check


def _command(value: object) -> str:
    if isinstance(value, str) and len(value) > MOST_WORDS * 200:
        return f"is {shown(value)}: it is too long"
    try:
        found = words(value)
    except (TypeError, ValueError) as failure:
        return f"is {shown(value)}, which is no command: {failure}"
    if not 1 <= len(found) <= MOST_WORDS or not PROGRAM.fullmatch(found[0]) or ".." in found[0]:
        return f"is {shown(value)}: it must begin with the name of a program in the release's venv/bin"
    wrong = next((word for word in found if not ARGUMENT.fullmatch(word)), None)
    return (
        "" if wrong is None else f"has the word {shown(wrong)}: 1 to 200 characters, none of them a control"
    )


def _variable(value: object) -> str:
    if isinstance(value, str) and (value in PARTS or CREDENTIAL.fullmatch(value)):
        return ""
    return f"is {shown(value)}: it must be one of {', '.join(PARTS)}, or credential:NAME of another secret"


def _table(name_form: re.Pattern[str], rule: str, most: int, each: Check) -> Check:
    def check(value: object) -> str:
        if not isinstance(value, Mapping) or len(value) > most:
            return f"is {shown(value)}: it must be a table, of {most} at most"
        for name, found in value.items():
            if not isinstance(name, str) or len(name) > 64 or not name_form.fullmatch(name):
                return f"has {shown(name)}: a name in it must be {rule}"
            if reason := each(found):
                return f"{name} {reason}"
        return ""

    return check


def _units(each: Check) -> Check:
    table = _table(UNIT_NAME, "small letters and digits, with - between", MOST, each)

    def check(value: object) -> str:
        if reason := table(value):
            return reason
        names = sorted(value) if isinstance(value, Mapping) else []
        wrong = next((name for name in names if name in TAKEN or len(name) > 24), None)
        return (
            "" if wrong is None else f"has {wrong}: Slipway's own unit is called so, or it is over 24 letters"
        )

    return check


def _timer(value: object) -> str:
    if not isinstance(value, Mapping) or set(value) != {"command", "calendar"}:
        return f'is {shown(value)}: it must be {{ command = "...", calendar = "hourly" }}'
    # Mon..Fri is a range.
    rule = "as OnCalendar= of systemd.time(7) has it, such as hourly"
    calendar = _text(CALENDAR, rule, without="...")(value["calendar"])
    return next(
        (
            f"{key} {reason}"
            for key, reason in (("command", _command(value["command"])), ("calendar", calendar))
            if reason
        ),
        "",
    )


_OBJECT = _text(OBJECT, "package.module:attribute")
KEYS: dict[str, Check] = {
    "name": _text(APP_NAME, "small letters, digits and _, 24 at most"),
    "application": _OBJECT,
    "factory": _one_of(True, False),
    "preload": _one_of(True, False),
    "health": _text(URL_PATH, "the path of a URL, such as /health/ready"),
    "check": _command,
    "log_config": _text(
        FILE_PATH, "the path of a file below the release's venv, such as share/app/logging.json"
    ),
    "websockets": _one_of(True, False),
    "migrations": _text(MIGRATIONS, "package:folder of the wheel, or a folder beside pyproject.toml"),
    "backfills": _OBJECT,
    "static": _text(STATIC, "package:folder of the wheel, such as notes:static"),
    "schema": _text(SCHEMA, "a PostgreSQL name: lower case, 63 characters at most"),
    "environment_prefix": _text(PREFIX, "capitals, digits and _, 32 at most"),
    "environment": _table(VARIABLE, "a variable's", 16, _variable),
    "driver": _one_of(*DRIVERS),
    "processes": _units(_command),
    "timers": _units(_timer),
}
# They say how it is started: without an application nothing new is said of that.
NEED_APPLICATION = ("check", "factory", "log_config", "preload", "processes", "timers", "websockets")
