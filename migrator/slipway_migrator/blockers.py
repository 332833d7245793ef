"""Who is in a migration's way: the sessions that hold a lock it waits for, without anybody's data."""

import re
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, text

LONGEST_QUERY = 300
# Of a query whose literals are left out so much is read.
LONGEST_READ = 8000
SESSIONS = """
SELECT pid, usename AS role, application_name AS application, state,
       extract(epoch FROM clock_timestamp() - coalesce(xact_start, state_change))::float AS seconds, query
FROM pg_stat_activity
"""
BLOCKING = SESSIONS + "WHERE pid = ANY (pg_blocking_pids(:pid)) ORDER BY seconds DESC NULLS LAST, pid"
# A key of 64 bits is shown as two halves; a migrator's has an empty upper one.
HOLDERS = """WHERE pid IN (
    SELECT l.pid FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
      AND l.classid = 0 AND l.objid = :key AND l.objsubid = 1)
"""
HOLDING = SESSIONS + HOLDERS
HIDDEN = "<insufficient privilege>"
TOKENS = re.compile(
    r"""(?P<name>"(?:[^"]|"")*(?:"|$))"""
    r"""|(?P<comment>--[^\n]*|/\*.*?(?:\*/|$))"""
    r"""|(?P<value>[eE]'(?:[^'\\]|''|\\.)*(?:'|$)|'(?:[^']|'')*(?:'|$)"""
    r"""|\$(?P<tag>[A-Za-z_]*)\$.*?(?:\$(?P=tag)\$|$)|(?<![\w$])\d[\d.eE+-]*)""",
    re.DOTALL,
)
BLANKS = re.compile(r" +")


def without_values(query: str) -> str:
    """A query as one line in which every literal is `?` and comments and control characters are gone."""

    def shown(match: re.Match[str]) -> str:
        return match["name"] or ("?" if match["value"] else " ")

    line = "".join(
        letter if letter.isprintable() else " " for letter in TOKENS.sub(shown, query[:LONGEST_READ])
    )
    return BLANKS.sub(" ", line).strip()[:LONGEST_QUERY]


@dataclass(frozen=True)
class Session:
    """One session of the server; seconds it is in its transaction. None: hidden from this role."""

    pid: int
    role: str | None
    application: str
    state: str | None
    seconds: float | None
    query: str | None

    def __str__(self) -> str:
        since = "" if self.seconds is None else f" for {self.seconds:.0f} s"
        doing = f"{self.state or 'active'}{since}: {self.query}" if self.query else "its work is hidden"
        return f"pid {self.pid}, role {self.role}, {self.application or 'no application name'}, {doing}"

    def as_fields(self) -> dict[str, object]:
        """For a line of the log."""
        return asdict(self)


def sessions(connection: Connection, query: str, **parameters: int) -> list[Session]:
    """The sessions that BLOCKING (`pid`) or HOLDING (`key`) find."""
    found = connection.execute(text(query), parameters)
    return [
        Session(
            row.pid,
            row.role,
            without_values(row.application or "")[:64],
            row.state,
            row.seconds,
            None if row.query in (None, "", HIDDEN) else without_values(row.query),
        )
        for row in found
    ]
