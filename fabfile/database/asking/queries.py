"""One SQL file a query, with its purpose, versions and privilege in its first lines; its rows typed and frozen.

A file holds %(values)s and {parts}, so % and braces of its own are written twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, cast

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from fabfile.errors import RefusedError

Row = TypeVar("Row")
# In the archive of a host's program it is a folder that knows iterdir and read_text alone.
FOLDER = cast(Path, resources.files(__package__) / "sql")
# A form for newer servers has its floor in its name: checkpoints.17.sql beside checkpoints.sql.
HEADER = re.compile(
    r"-- purpose: (?P<purpose>.+)\n-- floor: (?P<floor>\d+)\n-- ceiling: (?P<ceiling>\d+|none)\n"
    r"-- privilege: (?P<privilege>.+)\n"
)


@cache
def statement(name: str, version: int, folder: Path = FOLDER) -> str:
    """The text of the query for a server's major version. Raises RefusedError outside its floor and ceiling."""
    newer = [file for file in folder.iterdir() if re.fullmatch(rf"{name}\.\d+\.sql", file.name)]
    newer.sort(key=lambda file: file.name, reverse=True)
    for file in (*newer, folder / f"{name}.sql"):
        text = file.read_text(encoding="utf-8")
        header = HEADER.match(text)
        if header is None:
            raise ValueError(f"{file} has no header of purpose, floor, ceiling and privilege")
        ceiling = header["ceiling"]
        if int(header["floor"]) <= version and (ceiling == "none" or version <= int(ceiling)):
            return text
    raise RefusedError(f"There is no form of the query {name} for PostgreSQL {version}. Nothing was read.")


def composed(
    connection: psycopg.Connection[Any], name: str, folder: Path = FOLDER, **parts: sql.Composable
) -> sql.Composed:
    """The query's text for this server, with identifiers and expressions put in its {parts}."""
    text = statement(name, connection.info.server_version // 10_000, folder)
    return sql.SQL(text).format(**parts)


def rows(
    connection: psycopg.Connection[Any],
    kind: type[Row],
    name: str,
    values: Mapping[str, object] | None = None,
    folder: Path = FOLDER,
    **parts: sql.Composable,
) -> list[Row]:
    """The query's rows, each a frozen object whose fields are the query's columns. Raises psycopg.Error."""
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(composed(connection, name, folder, **parts), values or {}).fetchall()
