"""`fab db-status`: what is wrong with the database, worst first, in one screen, with an exit code."""

from __future__ import annotations

from invoke import Context, Exit, task

from fabfile.errors import RefusedError
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
) -> None:
    """What is wrong with the database, worst first; exits 0 ok, 1 warning, 2 critical, 3 unknown."""
    with running.sentences():
        if watch and (json or html):
            raise RefusedError("--watch goes with a screen, not with --json or --html. Nothing was read.")
        environment = running.chosen(env)
        from fabfile.database import status

        code = status.run(
            environment, as_json=json, watch=watch, section=section, only=only_problems, html=html
        )
    if code:
        raise Exit(code=code)
