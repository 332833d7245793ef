"""`migrate`, `schema`, `schema-head`: results are JSON on stdout, sentences go to stderr."""

import json
import os
import traceback
from argparse import Namespace
from dataclasses import asdict

from slipway_migrator import address, project, variables
from slipway_migrator.address import Settings
from slipway_migrator.drivers import is_the_databases, is_unreachable, reason, sqlstate
from slipway_migrator.errors import (
    CommandError,
    ConfigurationError,
    LockNotFreeError,
    MigrationError,
    MigratorBusyError,
    RevisionError,
)
from slipway_migrator.lines import speak_for
from slipway_migrator.revisions import Revisions
from slipway_migrator.statements import statements
from slipway_migrator.upgrading import Migrated, upgrade

EX_FAILED = 1
EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75
SYNTAX_ERROR = "42601"
STAYS = "earlier revisions stay applied and the running release is not affected"


def migrate(chosen: Namespace) -> int:
    """Bring the database to this release's schema and print the revisions before and after.

    Stops before the first pending contract revision and prints what is held back, unless told to contract.
    """
    own = project.load(chosen.project)
    config = project.alembic_config(own)
    settings = address.read(own, "migrate")
    url = address.url_of(settings, address.driver_of(own, config.get_main_option("sqlalchemy.url")))
    os.environ.update(variables.exported(settings, url, own))
    config.set_main_option("sqlalchemy.url", url.render_as_string(hide_password=False).replace("%", "%%"))
    speak_for(settings.release)
    try:
        migrated = upgrade(config, settings, f"{own.name}-migrate/{settings.release}"[:63], chosen.contract)
    except ConfigurationError:
        raise
    except Exception as error:
        raise _failed(settings, error) from None
    print(json.dumps(_said(migrated)))
    return 0


def _said(migrated: Migrated) -> dict[str, object]:
    held_back = {"held_back": list(migrated.held_back)} if migrated.held_back else {}
    return {"from": migrated.origin, "to": migrated.target, **held_back}


def _failed(settings: Settings, error: Exception) -> CommandError:
    where = settings.where
    if isinstance(error, MigrationError | MigratorBusyError):
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        status = EX_FAILED if isinstance(error, MigrationError) else EX_TEMPFAIL
        sentence = str(error).rstrip(".")
        return CommandError(
            status, f"The migration of {where} did not start, nothing is changed: {sentence}."
        )
    if isinstance(error, LockNotFreeError):
        return CommandError(
            EX_TEMPFAIL,
            f"The migration of {where} could not lock what it changes {error}. The revision is not applied, {STAYS}. "
            "Try again when that session has ended.",
        )
    if isinstance(error, RevisionError):
        return CommandError(
            EX_FAILED, f"The migration of {where} stopped; the revision is not applied, {STAYS}: {error}"
        )
    if not is_the_databases(error):
        # A revision's or env.py's own code: only its author knows the way on, and needs the lines.
        traceback.print_exception(error)
        return CommandError(
            EX_FAILED,
            f"The migration of {where} failed in the service's own code and its revision is not applied; {STAYS}. "
            f"{type(error).__name__}: {' '.join(str(error).split())}",
        )
    if sqlstate(error) == SYNTAX_ERROR and "multiple commands" in str(error):
        return CommandError(
            EX_FAILED,
            f"The migration of {where} failed and its revision is not applied; {STAYS}. One op.execute holds several "
            "statements, and the server takes one at a time: write an op.execute for each.",
        )
    if is_unreachable(error):
        return CommandError(
            EX_UNAVAILABLE, f"The {where} cannot be reached or refuses the role: {reason(error)}"
        )
    return CommandError(
        EX_FAILED,
        f"The migration of {where} failed and its revision is not applied; {STAYS}. "
        f"SQLSTATE {sqlstate(error)}: {reason(error)}",
    )


def schema_head(chosen: Namespace) -> int:
    """Print the revision this release needs; no database and no settings are asked."""
    print(Revisions(project.alembic_config(project.load(chosen.project))).head)
    return 0


def schema(chosen: Namespace) -> int:
    """Print the revisions this release carries, first to last, with their kinds; nobody is asked.

    An earlier release can run on this one's head if every revision after its own head is "expand".
    """
    own = project.load(chosen.project)
    config = project.alembic_config(own)
    revisions = Revisions(config)
    if chosen.sql:
        # Its env.py may read them when it is imported.
        os.environ.update({**variables.stand_ins(own), **os.environ})
    rows = [
        {**asdict(each), **({"sql": statements(config, revisions, each)} if chosen.sql else {})}
        for each in revisions.in_order
    ]
    print(json.dumps({"head": revisions.head, "revisions": rows}))
    return 0
