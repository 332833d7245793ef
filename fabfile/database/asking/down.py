"""What the host alone can say when its server lets nobody look: why that is, and whether a start would help."""

from __future__ import annotations

import re
from typing import Any

from fabfile.database import texts
from fabfile.database.asking import refusals
from fabfile.database.asking.place import Database
from fabfile.database.asking.refusals import DownError
from fabfile.database.checks.judging import About, command_of, runbook
from fabfile.database.checks.sections import service
from fabfile.database.findings import Finding, Level, Section, Server, Table

LAST_WORDS = re.compile(r"\b(?:FATAL|PANIC):")
NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded")
# A start with the same files ends with the same words.
SETTINGS = re.compile(
    r"could not access file|could not load library|could not map anonymous shared memory|configuration file|"
    r"invalid value|unrecognized configuration|could not create|no usable|certificate|private key|could not open file|"
    r"hba|could not find",
    re.IGNORECASE,
)


def look(database: Database, about: About, failure: DownError) -> tuple[Server, list[Section]]:
    """The server's section and what can be said without it."""
    level, said, command = _judged(database, about, failure)
    finding = Finding("server", level, said, command_of(about, command), runbook("server"))
    lines = tuple((line,) for line in str(about.facts.get("log") or failure.reason).splitlines())
    parts = [Section("server", (finding,), (Table("Last lines of the log", ("line",), lines),))]
    role = "unseen" if isinstance(failure, refusals.RefusedHereError | refusals.StartingError) else "down"
    return Server(database.host.name, role), [*parts, of_host(about)]


def _judged(database: Database, about: About, failure: DownError) -> tuple[Level, str, str]:
    host, name = database.host.name, f"postgresql@{database.version}-{database.cluster}"
    unit: dict[str, Any] = about.facts.get("unit") or {}
    if isinstance(failure, refusals.RefusedHereError):
        said = f"PostgreSQL on {host} runs and lets nobody look: {failure.reason}."
        return Level.UNKNOWN, said, "ansible-playbook -i inventory/ENV playbooks/database.yml"
    if isinstance(failure, refusals.StartingError):
        said = (
            f"PostgreSQL on {host} takes no connection now: {failure.reason}. A restart would only delay it."
        )
        return Level.CRITICAL, said, "fab db-status --watch 5"
    state = f"{unit.get('ActiveState', 'unknown')} ({unit.get('SubState', '')}, {unit.get('Result', '')})"
    said = f"PostgreSQL on {host} takes no connection ({failure.reason}): its unit is {state}, and {_process(about)}."
    words = "" if unit.get("Result") == "success" else last_words(about)
    if unit.get("ActiveState") == "active":
        return Level.CRITICAL, said, f"journalctl -u {name}"
    if not words:
        return Level.CRITICAL, said, f"systemctl start {name}"
    said += f" Its last words: {texts.plain(words, 300)}"
    if NO_ROOM.search(words):
        return (
            Level.CRITICAL,
            f"{said}. Make room first: a start would end the same way.",
            "fab db-status --section service",
        )
    if SETTINGS.search(words):
        return (
            Level.CRITICAL,
            f"{said}. A start would end the same way.",
            ("ansible-playbook -i inventory/ENV playbooks/database.yml --check --diff"),
        )
    return Level.CRITICAL, said, f"journalctl -u {name}"


def _process(about: About) -> str:
    lock = about.facts.get("lock")
    if lock is None:
        return "there is no lock file, so no server holds the socket"
    return f"the lock file names process {lock['pid']}, which {'lives' if lock['alive'] else 'is gone'}"


def last_words(about: About) -> str:
    """The last line in which the server said why it ended, by its own log or its unit's; "" for none."""
    own = str((about.facts.get("server") or {}).get("last_words") or "")
    of_unit = [line for line in str(about.facts.get("log") or "").splitlines() if LAST_WORDS.search(line)]
    return (own or (of_unit[-1] if of_unit else "")).strip().rstrip(".")


def why(failure: DownError) -> str:
    """Why nobody looked, as the end of a sentence."""
    match failure:
        case refusals.FullError():
            return "all ordinary connections are taken"
        case refusals.RoleFullError():
            return "who looks has all the sessions that it may have"
        case refusals.RefusedHereError():
            return "the server lets nobody look"
    return "the server takes no connection"


def of_host(about: About) -> Section:
    """What can be said without the server."""
    said = [item for check in service.HOST for item in check.judge(about)]
    return Section(
        "service",
        tuple(item for item in said if isinstance(item, Finding)),
        tuple(item for item in said if isinstance(item, Table)),
    )
