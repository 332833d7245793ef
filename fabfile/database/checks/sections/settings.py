"""What the server runs with: refused lines, access, versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from fabfile.database import texts
from fabfile.database.checks.judging import About, Check, Judged, measured, named, stated
from fabfile.database.checks.sections import drift
from fabfile.database.checks.sections.drift import PLAYBOOK
from fabfile.database.findings import Level

# The last day on which upstream corrects a major version.
ENDS = {
    14: date(2026, 11, 12),
    15: date(2027, 11, 11),
    16: date(2028, 11, 9),
    17: date(2029, 11, 8),
}
# The first that says what it refuses of pg_ident.conf.
MAPPINGS_SINCE = 150_000


@dataclass(frozen=True)
class Refused:
    file: str
    line: int
    name: str
    error: str


@dataclass(frozen=True)
class Rule:
    line: int
    type: str
    method: str
    address: str
    error: str


@dataclass(frozen=True)
class Mapping:
    line: int
    error: str


@dataclass(frozen=True)
class Plain:
    sessions: int


@dataclass(frozen=True)
class Role:
    """days: until its password ends."""

    name: str
    days: float


@dataclass(frozen=True)
class Extension:
    name: str
    version: str
    available: str


@dataclass(frozen=True)
class Collation:
    """kind: database or collation."""

    kind: str
    schema: str
    name: str

    @property
    def shown(self) -> str:
        return (
            f"database {texts.name(self.name)}"
            if self.kind == "database"
            else texts.qualified(self.schema, self.name)
        )

    @property
    def noting(self) -> str:
        """What has the server know the library's version as the one that indexes are built with."""
        if self.kind == "database":
            return f"ALTER DATABASE {texts.name(self.name)} REFRESH COLLATION VERSION;"
        return f"ALTER COLLATION {self.shown} REFRESH VERSION;"


def files(about: About, found: list[Refused]) -> Judged:
    """Lines of the settings' files that the server refuses; at the next start it would not come up."""
    if not found:
        yield stated(about, "settings-files", Level.OK, "The settings' files have no error.")
        return
    one = found[0]
    said = (
        f"{len(found)} lines of the settings' files are refused, {texts.plain(one.file)} line {one.line}, "
        f"{texts.plain(one.name, 60)}: "
        f"{texts.plain(one.error, 120)}. The server may not start again with them."
    )
    yield stated(about, "settings-files", Level.CRITICAL, said, f"{PLAYBOOK} --check --diff")


def access(about: About, found: list[Rule]) -> Judged:
    """Lines of pg_hba.conf that are refused, or that let in too easily."""
    wrong = [one for one in found if one.error]
    if wrong:
        said = (
            f"pg_hba.conf has {len(wrong)} lines the server refuses, line {wrong[0].line}: "
            f"{texts.plain(wrong[0].error, 120)}. No change of it takes effect until then."
        )
        yield stated(about, "hba", Level.CRITICAL, said, f"{PLAYBOOK} --check --diff")
    else:
        yield stated(about, "hba", Level.OK, "pg_hba.conf has no error.")
    weak = [one for one in found if not one.error]
    if weak:
        one = weak[0]
        line = f"{one.type} {one.address} {one.method}"
        said = f"{len(weak)} lines of pg_hba.conf ask for too little, line {one.line}: {line}."
        subjects = tuple(f"{each.type} {each.address} {each.method}" for each in weak)
        yield stated(about, "access", Level.WARN, said, f"{PLAYBOOK} --check --diff", subjects)


def mappings(about: About, found: list[Mapping]) -> Judged:
    """Lines of pg_ident.conf that are refused: one is enough for the server to take none of them."""
    if found:
        one = found[0]
        said = (
            f"pg_ident.conf has {len(found)} lines the server refuses, line {one.line}: {texts.plain(one.error, 120)}. "
            "No change of it takes effect until then, and after a restart nobody gets in by it."
        )
        yield stated(about, "ident", Level.CRITICAL, said, f"{PLAYBOOK} --check --diff")
    elif about.version >= MAPPINGS_SINCE:
        yield stated(about, "ident", Level.OK, "pg_ident.conf has no error.")


def encryption(about: About, found: list[Plain]) -> Judged:
    """Sessions from elsewhere in the clear."""
    number = found[0].sessions
    said = f"{number} sessions from other hosts are not encrypted."
    yield stated(about, "encryption", Level.WARN if number else Level.OK, said, "fab db-activity")


def roles(about: About, found: list[Role]) -> Judged:
    """Passwords that end."""
    if found:
        one = found[0]
        said = f"The password of {texts.name(one.name)} ends in {one.days:.0f} days"
        yield measured(about, "role-validity", one.days, said, PLAYBOOK)


def extensions(about: About, found: list[Extension]) -> Judged:
    """Extensions not updated after the host's packages were."""
    names = ", ".join(f"{texts.name(one.name)} {one.version} of {one.available}" for one in found)
    said = f"{len(found)} extensions are older than their package{f': {names}' if names else ''}."
    command = f"ALTER EXTENSION {texts.name(found[0].name)} UPDATE;" if found else ""
    subjects = tuple(one.name for one in found)
    yield stated(about, "extensions", Level.WARN if found else Level.OK, said, command, subjects)


def collations(about: About, found: list[Collation]) -> Judged:
    """Indexes that sort by an order that is no more."""
    names = tuple(one.shown for one in found)
    said = f"{len(found)} collations changed with the system's library{f': {named(names)}' if names else ''}."
    command = ""
    if found:
        # What is sorted by the old order is built anew first; then the new version is noted.
        command = f"REINDEX DATABASE CONCURRENTLY {texts.name(about.database)}; {found[0].noting}"
    yield stated(about, "collations", Level.WARN if found else Level.OK, said, command, names)


def support(about: About) -> Judged:
    """Upstream's end of the major version."""
    major = about.version // 10_000
    ends = ENDS.get(major)
    if ends is None:
        return
    days = (ends - about.now.date()).days
    when = f"ended {-days} days ago" if days < 0 else f"ends in {days} days"
    said = f"Upstream's support of PostgreSQL {major} {when}, {ends.isoformat()}"
    yield measured(about, "end-of-support", days, said, "docs/architecture.md, Platforms")


CHECKS = (
    drift.CHECK,
    Check("settings-files", (("setting_files", Refused),), files),
    Check("hba", (("hba", Rule),), access),
    Check("ident", (("ident", Mapping),), mappings),
    Check("encryption", (("plain_sessions", Plain),), encryption),
    Check("role-validity", (("roles", Role),), roles, monitor=False),
    Check("extensions", (("extensions", Extension),), extensions, monitor=False),
    Check("collations", (("collations", Collation),), collations, monitor=False),
    Check("end-of-support", (), support, monitor=False),
)
