"""The schema's commands: `migrate`, `schema-head`, `schema`."""

from argparse import Namespace
from dataclasses import asdict

from shop.cli.output import EX_FAILED, EX_TEMPFAIL, EX_UNAVAILABLE, fail, say, where
from shop.core.configuration import load_settings
from shop.core.database import DATABASE_ERRORS, is_unreachable, sqlstate
from shop.core.logging import configure_logging
from shop.core.schema import LOCK_NOT_AVAILABLE, MigrationError, Revisions, upgrade
from shop.settings import MigrationSettings


def schema_head(_: Namespace) -> int:
    """Print the revision this release needs; no database and no settings are asked."""
    print(Revisions().head)
    return 0


def schema(_: Namespace) -> int:
    """Print the revisions this release carries, first to last, with their kinds; nobody is asked.

    An earlier release can run on this one's head if every revision after its own head is "expand".
    """
    revisions = Revisions()
    say({"head": revisions.head, "revisions": [asdict(revision) for revision in revisions.in_order]})
    return 0


def migrate(_: Namespace) -> int:
    """Bring the database to this release's schema and print the revisions before and after."""
    settings = load_settings(MigrationSettings)
    configure_logging(settings.log_level, settings.release, stream="stderr")
    try:
        migrated = upgrade(settings)
    except MigrationError as error:
        sentence = f"The migration of {where(settings)} did not start, nothing is changed: {error}"
        return fail(EX_FAILED, sentence)
    except DATABASE_ERRORS as error:
        return _migration_failed(where(settings), error)
    say({"from": migrated.origin, "to": migrated.target})
    return 0


def _migration_failed(where: str, error: Exception) -> int:
    reason = getattr(error, "orig", error)
    if sqlstate(error) == LOCK_NOT_AVAILABLE:
        return fail(
            EX_TEMPFAIL,
            f"The migration of {where} could not lock what it changes: another migration or a long "
            "transaction holds it. The revision is rolled back and the running release is not affected. "
            "Try again; pg_stat_activity shows who holds the lock.",
        )
    if is_unreachable(error):
        return fail(EX_UNAVAILABLE, f"The {where} cannot be reached or refuses the role: {reason}")
    return fail(
        EX_FAILED,
        f"The migration of {where} failed and its revision is rolled back; earlier revisions stay applied "
        f"and the running release is not affected. SQLSTATE {sqlstate(error)}: {reason}",
    )
