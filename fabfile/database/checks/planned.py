"""Work that was begun on purpose and ends by itself: it is told as such, and is never the thing to end lightly."""

from __future__ import annotations

import re

from fabfile.database import texts

# The name that the role's thresholds have for who is not of a role with its own (see thresholds).
ROLE = "planned"
BACKUP = "slipway_backup"
# The role that changes a service's schema is named after it; so are these programs, each followed by a release.
MIGRATOR = "_migrate"
PROGRAM = re.compile(r"(?P<app>[a-z][a-z0-9_]*)-(?P<program>migrate|backfill)/(?P<release>.*)", re.DOTALL)
PROGRAMS = {"migrate": "the migration of release", "backfill": "a backfill of release"}
MAINTENANCE = re.compile(
    r"(?P<what>create\s+(?:unique\s+)?index|reindex|vacuum|analyze|cluster|refresh\s+materialized\s+view)\b",
    re.IGNORECASE,
)
# What the server counts the progress of, and what anybody may copy all day.
ORDINARY = "copy"


def what(role: str, application: str, query: str, doing: str = "") -> str:
    """What it is, such as "the migration of release X"; "" for ordinary work. doing: by the server's progress views."""
    known = PROGRAM.fullmatch(application)
    if known and (role == known["app"] + MIGRATOR or known["program"] == "backfill"):
        return f"{PROGRAMS[known['program']]} {texts.plain(known['release'], 40)}"
    if role.endswith(MIGRATOR):
        return "a migration"
    if role == BACKUP:
        return "a backup"
    if doing and not doing.startswith(ORDINARY):
        return f"a {doing.partition(' of ')[0].partition(',')[0]}"
    found = MAINTENANCE.match(query.lstrip())
    return f"a {' '.join(found['what'].lower().split())}" if found else ""
