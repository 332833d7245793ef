"""What every command says: JSON on stdout, sentences on stderr, an exit status from sysexits.h."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from shop.settings import MigrationSettings

EX_FAILED = 1
EX_USAGE = 2
EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75
EX_CONFIG = 78


class CommandError(Exception):
    """A command that cannot do its work: the exit status and the sentence for the operator."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def say(result: object) -> None:
    """Print the result of a command, one JSON document."""
    print(json.dumps(result, default=str))


def fail(status: int, sentence: str) -> int:
    """Print why a command failed; returns the exit status."""
    print(sentence, file=sys.stderr)
    return status


def where(settings: MigrationSettings) -> str:
    """Which database, in words."""
    return f"database {settings.database_name} at {settings.database_host}, port {settings.database_port}"


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what the service itself would answer with into a CommandError."""
    # Not for the commands that ask no database: check-config is part of every start.
    from sqlalchemy.exc import DBAPIError

    from shop.core.database import reason, sqlstate
    from shop.core.errors import AppError

    try:
        yield
    except AppError as error:
        unreachable = error.code == "database_unreachable"
        status = EX_FAILED if error.status < 500 else EX_UNAVAILABLE if unreachable else EX_TEMPFAIL
        raise CommandError(status, error.message) from None
    except DBAPIError as error:
        sentence = (
            f"The database refused with SQLSTATE {sqlstate(error)}: {reason(error)}; nothing was changed."
        )
        raise CommandError(EX_FAILED, sentence) from None


@contextmanager
def speaking_of(settings: MigrationSettings, what: str) -> Iterator[None]:
    """Turn what the database refuses into a CommandError; `what` could not be done."""
    from shop.core.database import DATABASE_ERRORS, is_unreachable, reason, sqlstate

    try:
        yield
    except DATABASE_ERRORS as error:
        if is_unreachable(error):
            sentence = f"The {where(settings)} cannot be reached or refuses the role: {reason(error)}"
            raise CommandError(EX_UNAVAILABLE, sentence) from None
        sentence = f"{what} failed in the {where(settings)}. SQLSTATE {sqlstate(error)}: {reason(error)}"
        raise CommandError(EX_FAILED, sentence) from None
