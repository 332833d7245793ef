"""The schema's commands: `migrate`, `schema-head`, `schema`."""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from shop.cli.output import EX_FAILED, EX_TEMPFAIL, EX_UNAVAILABLE, fail, say, where
from shop.core.configuration import load_settings
from shop.core.database import DATABASE_ERRORS, is_unreachable, reason, sqlstate
from shop.core.logging import configure_logging
from shop.core.schema import (
    LockNotFreeError,
    MigrationError,
    MigratorBusyError,
    RevisionError,
    Revisions,
    upgrade,
)
from shop.core.schema_sql import statements
from shop.settings import MigrationSettings

SYNTAX_ERROR = "42601"


def schema_head(_: Namespace) -> int:
    """Print the revision this release needs; no database and no settings are asked."""
    print(Revisions().head)
    return 0


def schema_arguments(parser: ArgumentParser) -> None:
    """The arguments of schema."""
    parser.add_argument("--sql", action="store_true", help="with what each revision would send to the server")


def schema(chosen: Namespace) -> int:
    """Print the revisions this release carries, first to last, with their kinds; nobody is asked.

    An earlier release can run on this one's head if every revision after its own head is "expand".
    """
    revisions = Revisions()
    rows = [
        {**asdict(revision), **({"sql": statements(revision)} if chosen.sql else {})}
        for revision in revisions.in_order
    ]
    say({"head": revisions.head, "revisions": rows})
    return 0


def migrate_arguments(parser: ArgumentParser) -> None:
    """The arguments of migrate."""
    parser.add_argument(
        "--contract",
        action="store_true",
        help="apply revisions, too, that take away what earlier releases need",
    )


def migrate(chosen: Namespace) -> int:
    """Bring the database to this release's schema and print the revisions before and after.

    Stops before the first pending contract revision and prints what is held back, unless told to contract.
    """
    settings = load_settings(MigrationSettings)
    configure_logging(settings.log_level, settings.release, stream="stderr")
    try:
        migrated = upgrade(settings, contract=chosen.contract)
    except MigrationError as error:
        sentence = f"The migration of {where(settings)} did not start, nothing is changed: {error}"
        return fail(EX_FAILED, sentence)
    except MigratorBusyError as error:
        return fail(
            EX_TEMPFAIL, f"The migration of {where(settings)} did not start, nothing is changed: {error}."
        )
    except LockNotFreeError as error:
        return fail(
            EX_TEMPFAIL,
            f"The migration of {where(settings)} could not lock what it changes {error}. The revision is "
            "not applied, earlier ones stay applied, and the running release is not affected. Try again when "
            "that session has ended.",
        )
    except RevisionError as error:
        return fail(
            EX_FAILED,
            f"The migration of {where(settings)} stopped; the revision is not applied, earlier ones stay "
            f"applied, and the running release is not affected: {error}",
        )
    except DATABASE_ERRORS as error:
        return _migration_failed(where(settings), error)
    held_back = {"held_back": list(migrated.held_back)} if migrated.held_back else {}
    say({"from": migrated.origin, "to": migrated.target, **held_back})
    return 0


def _migration_failed(where: str, error: Exception) -> int:
    if sqlstate(error) == SYNTAX_ERROR and "multiple commands" in str(error):
        return fail(
            EX_FAILED,
            f"The migration of {where} failed and its revision is not applied; earlier revisions stay "
            "applied and the running release is not affected. One op.execute holds several statements, and "
            "the server takes one at a time: write an op.execute for each.",
        )
    if is_unreachable(error):
        return fail(EX_UNAVAILABLE, f"The {where} cannot be reached or refuses the role: {reason(error)}")
    return fail(
        EX_FAILED,
        f"The migration of {where} failed and its revision is not applied; earlier revisions stay applied "
        f"and the running release is not affected. SQLSTATE {sqlstate(error)}: {reason(error)}",
    )
