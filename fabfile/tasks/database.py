"""`fab db-status`: what is wrong with the database, worst first, in one screen, with an exit code."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from invoke import Context, Exit, task

from fabfile.errors import FabError, RefusedError
from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV


@task(
    help={
        "env": ENV,
        "json": "one JSON object (docs/db-status.schema.json) instead of a screen",
        "watch": "look again every so many seconds, until Ctrl-C",
        "section": "these sections alone, with their tables; names with commas between",
        "only_problems": "leave out what is right",
        "html": "write one page that stands alone to this file, too",
        "limit": "seconds that one query may take, 2 unless said; a longer one measures larger tables",
    }
)
def db_status(
    _context: Context,
    env: str = "",
    json: bool = False,
    watch: str = "",
    section: str = "",
    only_problems: bool = False,
    html: str = "",
    limit: str = "",
) -> None:
    """What is wrong with the database, worst first; exits 0 ok, 1 warning, 2 critical, 3 not known or not asked."""
    with running.sentences(), _codes_of_its_own():
        if watch and (json or html):
            raise RefusedError("--watch goes with a screen, not with --json or --html. Nothing was read.")
        environment = running.chosen(env)
        from fabfile.database import status

        code = status.run(
            environment,
            as_json=json,
            watch=watch,
            section=section,
            only=only_problems,
            html=html,
            limit=limit,
        )
    if code:
        raise Exit(code=code)


class UnlookedError(FabError):
    """Nothing was looked at: the code of what is not known, and never that of a level."""

    exit_code = 3


class BrokenError(FabError):
    """The command itself failed."""

    exit_code = 4


@contextmanager
def _codes_of_its_own() -> Iterator[None]:
    """1 and 2 are levels here: a refusal is 3, and a fault of the command 4."""
    try:
        yield
    except FabError as failure:
        raise UnlookedError(str(failure)) from None
    except Exception as failure:
        traceback.print_exc()
        raise BrokenError(
            f"db-status itself failed ({type(failure).__name__}), and says nothing of the database. "
            "What is above is for whoever mends it."
        ) from None
