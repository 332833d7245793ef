"""The schema window: which release can run on the schema that the database has.

A release runs on its own head, and on any later revision that is reached from it by expanding ones alone. What its own
last revisions take away may be there still.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from slipway_migrator.order import Order, in_text

# From the revision that is applied back to the one this release needs; UNION ends even a circle.
APPLIED = text("""
WITH RECURSIVE applied AS (
    SELECT version_num FROM alembic_version
), way AS (
    SELECT c.revision, c.down_revision, c.kind, c.release
    FROM schema_changes AS c JOIN applied ON c.revision = applied.version_num
    UNION
    SELECT c.revision, c.down_revision, c.kind, c.release
    FROM way JOIN schema_changes AS c ON c.revision = way.down_revision
    WHERE way.revision <> :head
)
SELECT
    (SELECT version_num FROM applied) AS applied,
    coalesce(bool_or(revision = :head), false) AS comes_after_head,
    max(revision) FILTER (WHERE kind <> 'expand' AND revision <> :head) AS contracted_by,
    max(release) FILTER (WHERE kind <> 'expand' AND revision <> :head) AS contracted_in
FROM way
""")


@dataclass(frozen=True)
class Applied:
    """What the database says of its schema; `contracted_by` is a revision that took away what head has."""

    revision: str | None = None
    comes_after_head: bool = False
    contracted_by: str | None = None
    contracted_in: str | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether the service can work: `code` is "ready" or the reason why not, `message` the sentence."""

    code: str
    message: str
    applied: str | None


def order_below(folder: Path) -> Order:
    """Of a folder with env.py. Raises MigrationError when there is not one head, or a kind that is none."""
    if (found := in_text(folder)) is not None:
        return found
    from slipway_migrator.revisions import Revisions

    return Revisions.below(folder).order


def judge(revisions: Order, release: str, applied: Applied) -> Verdict:
    """Whether `release`, which carries `revisions`, can run on what APPLIED found for their head."""
    head, revision, needs = revisions.head, applied.revision, f"release {release} needs"
    if revision == head:
        code, state = "ready", f"on {head}, which this release needs."
    elif revisions.suffices(revision):
        code, state = "ready", f"on {revision}; what follows, up to {head}, only takes away."
    elif revision is None:
        code, state = "schema_missing", f"without a schema; {needs} {head}: run its migrations."
    elif revision in revisions.known:
        code = "schema_behind"
        state = f"on the earlier revision {revision}; {needs} {head}: run its migrations."
    elif not applied.comes_after_head:
        code = "schema_unknown"
        state = f"on revision {revision}, which is not known to come after what {needs}, {head}: "
        state += f"start the release that carries {revision}, or check which database it is given."
    elif applied.contracted_by is not None:
        code = "schema_contracted"
        state = f"on revision {revision}, and {applied.contracted_by} took away what {needs} of {head}: "
        state += f"start release {applied.contracted_in} or a later one."
    else:
        code, state = "ready", f"on {revision}, which comes after {head} and takes nothing away."
    return Verdict(code, f"The database is {state}", revision)
