"""Texts that strangers chose, made fit for a screen, a log and a page.

Whoever may connect chooses an application name; whoever may create, a table's name; and a query's text holds what
customers typed. None of it may move a cursor, turn the reading direction, break a line, or show a value.
"""

from __future__ import annotations

import re
import unicodedata

try:
    from rich.cells import cell_len, set_cell_size
except ModuleNotFoundError:
    # The program of a database's host shows nothing on a screen.
    def cell_len(text: str) -> int:  # type: ignore[misc]
        return len(text)

    def set_cell_size(text: str, total: int, unicode_version: str = "") -> str:
        return text[:total]


# ESC and what it introduces: control sequences, strings such as a window's title, and two-character ones.
ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
# Control, format (bidirectional overrides, zero width), surrogate, private, line and paragraph separators.
UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
# Letters that pile up over one another reach into the lines above.
MARK = r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
MARKS = re.compile(rf"({MARK}{{2}}){MARK}+")
SIMPLE_NAME = re.compile(r"[a-z_][a-z0-9_$]*")

LETTER = r"A-Za-z_\u0080-\U0010ffff"
TOKENS = re.compile(
    rf"""
      (?P<comment> --[^\n]* | /\*)
    | (?P<escaped> [eE]'(?:[^'\\]|\\.|'')*(?:'|\\?\Z) )
    | (?P<literal> (?:[uU]&|[bBxXnN])?'(?:[^']|'')*(?:'|\Z)
                 | \$(?P<tag>(?:[{LETTER}][{LETTER}0-9]*)?)\$.*?(?:\$(?P=tag)\$|\Z) )
    | (?P<name> (?:[uU]&)?"(?:[^"]|"")*(?:"|\Z) | [{LETTER}][{LETTER}0-9$]* | \$[0-9]+ )
    | (?P<number> (?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?[A-Za-z0-9_]* )
    """,
    re.VERBOSE | re.DOTALL,
)
NESTED = re.compile(r"/\*|\*/")
LISTS = re.compile(r"\?(?:\s*,\s*\?){2,}")


def plain(text: object, width: int = 0) -> str:
    """One line without anything that acts on a terminal. width: terminal columns to shorten it to, 0 for all."""
    line = ESCAPES.sub("", str(text))
    line = "".join(" " if char.isspace() else char for char in line)
    line = "".join(char for char in line if unicodedata.category(char) not in UNSEEN)
    line = " ".join(MARKS.sub(r"\1", line).split())
    return shortened(line, width) if width else line


def shortened(text: str, width: int) -> str:
    """At most width terminal columns, with dots where something was left out."""
    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, max(0, width - 3)).rstrip()}..."[:width]


def query(text: str | None, width: int = 0) -> str:
    """A statement's form: every literal and number a question mark, comments gone, on one line.

    A text that the server cut off in the middle of a literal ends there.
    """
    if not text:
        return ""
    formed, at = [], 0
    while found := TOKENS.search(text, at):
        formed.append(text[at : found.start()])
        at = found.end()
        if found["comment"]:
            at = _after_comment(text, at) if found["comment"] == "/*" else at
            formed.append(" ")
        else:
            formed.append(found[0] if found["name"] else "?")
    formed.append(text[at:])
    return plain(LISTS.sub("?, ...", "".join(formed)), width)


def _after_comment(text: str, at: int) -> int:
    depth = 1
    while depth and (found := NESTED.search(text, at)):
        depth += 1 if found[0] == "/*" else -1
        at = found.end()
    return len(text) if depth else at


def name(text: str) -> str:
    """An identifier as SQL wants it: quoted where it must be; what cannot be seen is written as U&"\\001b"."""
    if SIMPLE_NAME.fullmatch(text):
        return text
    quoted = text.replace('"', '""')
    if all(char == " " or (unicodedata.category(char) not in UNSEEN and not char.isspace()) for char in text):
        return f'"{quoted}"'
    return 'U&"' + "".join(_seen(char) for char in quoted) + '"'


def _seen(char: str) -> str:
    if char == "\\":
        return "\\\\"
    if char != " " and (unicodedata.category(char) in UNSEEN or char.isspace()):
        return f"\\{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\+{ord(char):06x}"
    return char


def qualified(schema: str, text: str) -> str:
    """A schema's object, as SQL wants it."""
    return f"{name(schema)}.{name(text)}"
