"""`fab doctor`: the checklist of a service in production, by what is on the hosts now."""

from __future__ import annotations

from invoke import Context, Exit, task

from fabfile.errors import FabError
from fabfile.tasks import running
from fabfile.tasks.database import UnlookedError
from fabfile.tasks.rollouts import ENV


@task(
    help={
        "env": ENV,
        "json": "one JSON object instead of a screen",
        "only_problems": "leave out what is met",
    }
)
def doctor(_context: Context, env: str = "", json: bool = False, only_problems: bool = False) -> None:
    """Go through the checklist of a service in production, by what is on the hosts; exits 0 to 3 as db-status does."""
    with running.sentences():
        try:
            environment = running.chosen(env)
            from fabfile.upkeep.doctor import asking, screen

            told = screen.told(asking.seen(environment))
        except FabError as failure:
            # 1 and 2 are levels here.
            raise UnlookedError(str(failure)) from None
        print(screen.encoded(told) if json else "\n".join(screen.lines(told, only_problems)))
    if told.exit_code:
        raise Exit(code=told.exit_code)
