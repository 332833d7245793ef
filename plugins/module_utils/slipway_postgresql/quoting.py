"""Names and values as SQL text that means the same whatever they contain."""

from __future__ import annotations

import re
from typing import Any

# PostgreSQL cuts a longer name off silently (NAMEDATALEN - 1), and two names may then be one.
MAXIMUM_NAME_BYTES = 63

# Settings whose value is a list of names: the server stores each element quoted by itself.
LIST_SETTINGS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)

SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\Z")
LIST_ELEMENT = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]*?))\s*(?:,|\Z)')


class RefusedError(Exception):
    """Something wanted that cannot be stated; `sentences` says what, one string each."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(" ".join(sentences))
        self.sentences = list(sentences)


def has_control_character(text: str) -> bool:
    return any(ord(character) < 0x20 or ord(character) == 0x7F for character in text)


def printable(text: str) -> str:
    """`text` for a person's terminal: no control character reaches it."""
    return "".join(character if character.isprintable() else "?" for character in text)


def name_fault(name: str) -> str | None:
    """Why `name` cannot be a PostgreSQL name (a clause that follows the name), or None."""
    if not name:
        return "is empty"
    if has_control_character(name):
        return "contains a control character (newline, tab, NUL …)"
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if length > MAXIMUM_NAME_BYTES:
        return f"is {length} bytes long and PostgreSQL keeps {MAXIMUM_NAME_BYTES}"
    return None


def identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    fault = name_fault(name)
    if fault:
        raise RefusedError(f"The name {printable(name)!r} {fault}.")
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """`value` as an SQL string literal on one line; control characters and backslashes become escapes."""
    if "\0" in value:
        raise RefusedError("A value contains the NUL character, which PostgreSQL cannot store.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RefusedError("A value is not valid Unicode, so it cannot be sent as UTF-8.") from None
    if "\\" not in value and not has_control_character(value):
        return "'" + value.replace("'", "''") + "'"
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return "E'" + re.sub(r"[\x01-\x1f\x7f]", lambda match: f"\\x{ord(match[0]):02x}", escaped) + "'"


def array(values: list[str]) -> str:
    """`values` as an SQL expression of type text[]."""
    return "ARRAY[" + ", ".join(literal(value) for value in sorted(set(values))) + "]::text[]"


def setting_name(name: str) -> str:
    """`name` of a server setting, quoted so that names like `role` are no keyword."""
    if not SETTING_NAME.match(name):
        raise RefusedError(f"{printable(name)!r} is not the name of a PostgreSQL setting.")
    return ".".join(identifier(part) for part in name.split("."))


def setting_text(value: Any) -> str:
    """A scalar as the server stores it: true is `on`, 5 is `5`."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def split_list(text: str) -> list[str]:
    """The elements of a list setting: `"$user", Blog` gives ['$user', 'blog']."""
    elements: list[str] = []
    position = 0
    while position < len(text):
        match = LIST_ELEMENT.match(text, position)
        if match is None:
            raise RefusedError(f"The list {printable(text)!r} has an unfinished quoted name.")
        quoted, plain = match[1], match[2]
        if quoted is not None:
            elements.append(quoted.replace('""', '"'))
        elif plain:
            elements.append(plain.lower())
        position = match.end()
    return elements


def setting_elements(name: str, value: Any) -> list[str]:
    """What `SET name TO` gets, element by element; an empty list is one empty string."""
    if isinstance(value, list):
        return [setting_text(element) for element in value] or [""]
    if name.lower() in LIST_SETTINGS:
        return split_list(setting_text(value)) or [""]
    return [setting_text(value)]


def same_setting(name: str, stored: str, wanted: Any) -> bool:
    """Whether the stored text of a setting says what is wanted."""
    elements = setting_elements(name, wanted)
    if name.lower() in LIST_SETTINGS:
        return split_list(stored) == elements
    return stored == ", ".join(elements)


def setting_assignment(name: str, value: Any) -> str:
    """`"search_path" TO 'blog', 'public'`, to follow ALTER … SET."""
    values = ", ".join(literal(element) for element in setting_elements(name, value))
    return f"{setting_name(name)} TO {values}"
