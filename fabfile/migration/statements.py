"""What each statement of a migration locks, and whether it goes through a whole table meanwhile.

Locks are those of PostgreSQL 14 to 17, as "Explicit Locking" and the page of each command have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pglast import ast, enums, parse_sql
from pglast.parser import ParseError
from pglast.visitors import Visitor

from fabfile.errors import RefusedError

NONE = ""
ROW = "ROW EXCLUSIVE"
MAINTAIN = "SHARE UPDATE EXCLUSIVE"
SHARE = "SHARE"
WRITERS = "SHARE ROW EXCLUSIVE"
ALL = "ACCESS EXCLUSIVE"
# From what lets everybody work to what lets nobody.
ORDER = (NONE, ROW, MAINTAIN, SHARE, WRITERS, ALL)
SCANS, REWRITES, CHANGES_ROWS, HIDDEN = "scans", "rewrites", "changes rows", "hidden"
# Alembic's and the migrator's own books, which every migration writes.
BOOKS = ("alembic_version", "schema_changes")
# What a release's own code writes into the SQL it shows: before each statement that it sends by itself, and before
# the reason why it can show none.
STATEMENT, UNKNOWN = "-- statement", "-- unknown: "

Sub = enums.AlterTableType
_ALTER: dict[Any, tuple[str, str]] = {
    Sub.AT_SetStatistics: (MAINTAIN, ""),
    Sub.AT_SetOptions: (MAINTAIN, ""),
    Sub.AT_ResetOptions: (MAINTAIN, ""),
    Sub.AT_SetRelOptions: (MAINTAIN, ""),
    Sub.AT_ResetRelOptions: (MAINTAIN, ""),
    Sub.AT_ClusterOn: (MAINTAIN, ""),
    Sub.AT_ValidateConstraint: (MAINTAIN, SCANS),
    Sub.AT_AttachPartition: (MAINTAIN, SCANS),
    **{kind: (WRITERS, "") for kind in Sub if "Trig" in kind.name},
    Sub.AT_AlterColumnType: (ALL, REWRITES),
    Sub.AT_SetNotNull: (ALL, SCANS),
}
# Functions whose value is the same for every row of one statement: a default of these needs no rewrite.
STABLE = frozenset(("now", "transaction_timestamp", "statement_timestamp", "current_setting"))


@dataclass(frozen=True)
class Effect:
    """One lock of one statement. sql: the statement in one line. lock: "" for none. effect: "" for a moment's work."""

    sql: str
    table: str
    lock: str
    effect: str = ""


def unknown(sql: str) -> str:
    """Why a revision cannot show its SQL, "" when it does."""
    return sql.removeprefix(UNKNOWN) if sql.startswith(UNKNOWN) else ""


def sent_together(sql: str) -> list[str]:
    """What is sent to the server at once and holds more than one statement, which it refuses."""
    pieces = f"\n{sql}".split(f"\n{STATEMENT}\n")[1:]
    return [piece.strip() for piece in pieces if len(parse_sql(piece) or ()) > 1]


def hides_rows(sql: str) -> list[str]:
    """The tables on which row-level security is switched on."""
    switched = (Sub.AT_EnableRowSecurity, Sub.AT_ForceRowSecurity)
    return [
        _name(raw.stmt.relation)
        for raw in parse_sql(sql) or ()
        if isinstance(raw.stmt, ast.AlterTableStmt)
        and any(part.subtype in switched for part in raw.stmt.cmds or ())
    ]


def effects(sql: str) -> list[Effect]:
    """The locks of each statement, those on tables that the same text creates left out. Raises RefusedError."""
    if reason := unknown(sql):
        return [Effect(f"it asks the database ({reason})", "(a block of code)", NONE, HIDDEN)]
    try:
        parsed = parse_sql(sql)
    except ParseError as failure:
        raise RefusedError(f"The migration's SQL cannot be read: {failure}. Nothing was changed.") from None
    found: list[Effect] = []
    created = set(BOOKS)
    for raw in parsed or ():
        start = raw.stmt_location or 0
        end = start + raw.stmt_len if raw.stmt_len else None
        line = " ".join(_without_comments(sql[start:end]).split())
        if isinstance(raw.stmt, ast.CreateStmt):
            created.add(_name(raw.stmt.relation))
        for table, lock, effect in _of(raw.stmt):
            if table not in created:
                found.append(Effect(line, table, lock, effect))
    return found


def strongest(found: list[Effect]) -> str:
    """The strongest lock of all, "" for none."""
    return max((each.lock for each in found), key=ORDER.index, default=NONE)


def summary(found: list[Effect]) -> str:
    """The strongest lock and the tables it is on, in one line."""
    if any(each.effect == HIDDEN for each in found):
        return "a block of code, whose locks cannot be told"
    lock = strongest(found)
    tables = dict.fromkeys(each.table for each in found if each.lock == lock)
    return f"{lock} on {', '.join(tables)}" if lock else "locks nothing that is there"


def _of(statement: Any) -> Iterator[tuple[str, str, str]]:
    match statement:
        case ast.CreateStmt():
            yield from ((name, WRITERS, "") for name in _referenced(statement))
        case ast.IndexStmt():
            yield _name(statement.relation), MAINTAIN if statement.concurrent else SHARE, SCANS
        case ast.AlterTableStmt() if statement.objtype == enums.ObjectType.OBJECT_TABLE:
            yield from _altered(statement)
        case ast.DropStmt() if statement.removeType in DROPPED:
            for parts in statement.objects or ():
                yield _last(parts), MAINTAIN if statement.concurrent else ALL, ""
        case ast.RenameStmt() if statement.relation is not None:
            of_index = statement.renameType == enums.ObjectType.OBJECT_INDEX
            yield _name(statement.relation), MAINTAIN if of_index else ALL, ""
        case ast.TruncateStmt():
            yield from ((_name(relation), ALL, "") for relation in statement.relations or ())
        case ast.CreateTrigStmt():
            yield _name(statement.relation), WRITERS, ""
        case ast.InsertStmt() | ast.UpdateStmt() | ast.DeleteStmt():
            yield (
                _name(statement.relation),
                ROW,
                "" if isinstance(statement, ast.InsertStmt) else CHANGES_ROWS,
            )
        case ast.DoStmt():
            yield "(a block of code)", NONE, HIDDEN


DROPPED = (enums.ObjectType.OBJECT_TABLE, enums.ObjectType.OBJECT_INDEX, enums.ObjectType.OBJECT_VIEW)


def _altered(statement: Any) -> Iterator[tuple[str, str, str]]:
    """One lock for the whole ALTER TABLE, the strongest of its parts, and one on each table that is referenced."""
    table, parts = _name(statement.relation), []
    for part in statement.cmds:
        match part.subtype:
            case Sub.AT_AddColumn:
                parts.append((ALL, _of_new_column(part.def_)))
            case Sub.AT_AddConstraint:
                parts.append(_of_constraint(part.def_))
            case kind:
                parts.append(_ALTER.get(kind, (ALL, "")))
    worst = next((effect for effect in (REWRITES, SCANS) if effect in {each[1] for each in parts}), "")
    yield table, max((lock for lock, _ in parts), key=ORDER.index, default=ALL), worst
    yield from ((name, WRITERS, "") for name in _referenced(statement))


def _of_new_column(column: Any) -> str:
    kinds = {each.contype: each for each in column.constraints or ()}
    default = kinds.get(enums.ConstrType.CONSTR_DEFAULT)
    serial = column.typeName.names[-1].sval in ("serial", "bigserial", "smallserial")
    computed = {enums.ConstrType.CONSTR_GENERATED, enums.ConstrType.CONSTR_IDENTITY} & kinds.keys()
    if serial or computed or (default is not None and _changes_by_row(default.raw_expr)):
        return REWRITES
    checked = {enums.ConstrType.CONSTR_CHECK, enums.ConstrType.CONSTR_UNIQUE, enums.ConstrType.CONSTR_PRIMARY}
    return SCANS if checked & kinds.keys() else ""


def _of_constraint(constraint: Any) -> tuple[str, str]:
    unchecked = constraint.skip_validation or constraint.indexname
    foreign = constraint.contype == enums.ConstrType.CONSTR_FOREIGN
    return WRITERS if foreign else ALL, "" if unchecked else SCANS


def _changes_by_row(expression: Any) -> bool:
    """Whether an expression calls a function that is not known to be the same for every row."""
    called: list[str] = []

    class Calls(Visitor):
        def visit_FuncCall(self, _ancestors: Any, node: Any) -> None:  # noqa: N802 - pglast names it so
            called.append(node.funcname[-1].sval)

    Calls()(expression)
    return any(name not in STABLE for name in called)


def _referenced(statement: Any) -> list[str]:
    found: list[str] = []

    class References(Visitor):
        def visit_Constraint(self, _ancestors: Any, node: Any) -> None:  # noqa: N802 - pglast names it so
            if node.contype == enums.ConstrType.CONSTR_FOREIGN and node.pktable is not None:
                found.append(_name(node.pktable))

    References()(statement)
    return found


def _name(relation: Any) -> str:
    """The table's own name; all of a release's are in one schema."""
    return str(relation.relname)


def _last(parts: Any) -> str:
    return str(parts[-1].sval if isinstance(parts, tuple | list) else parts.names[-1].sval)


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
