"""Faults in pg_ident.conf for PostgreSQL 14, which has no view that shows them."""

from __future__ import annotations

import re

FIELDS = 3
TOKEN = re.compile(r'(?:"[^"]*"|[^\s"#])+')


def ident_faults(text: str, file: str) -> list[str]:
    """`file:line: message` for each line of a pg_ident.conf that the server would not read."""
    faults = []
    for number, line in enumerate(text.splitlines(), start=1):
        tokens = TOKEN.findall(before_comment(line))
        if before_comment(line).count('"') % 2:
            faults.append(f"{file}:{number}: a quoted name is not closed")
        elif tokens and len(tokens) < FIELDS:
            faults.append(
                f"{file}:{number}: {len(tokens)} of the {FIELDS} fields: map, OS user, database role"
            )
        elif any("," in re.sub(r'"[^"]*"', "", token) for token in tokens[:FIELDS]):
            faults.append(f"{file}:{number}: a field holds more than one value")
    return faults


def before_comment(line: str) -> str:
    """`line` up to a `#` that stands outside quotes."""
    quoted = False
    for position, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == "#" and not quoted:
            return line[:position]
    return line
