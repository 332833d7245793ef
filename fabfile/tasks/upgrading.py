"""`fab db-upgrade`: PostgreSQL's next major, by the database host's program; each step by itself."""

from __future__ import annotations

import json as encoding
import re

from invoke import Context, task

from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV, YES

MAJOR = re.compile(r"1[5-9]")
# What each is to production, as one is asked for it; nothing where it changes nothing.
STEPS = {
    "plan": "",
    "rehearse": "Making a copy of the database beside it, for as long as a rehearsal takes,",
    "prepare": "Making a second cluster beside the live one, and keeping the schema as it is,",
    "switch": "Moving the service to the new server, for which writers wait about a second,",
    "back": "Moving the service back to the old server, for which writers wait about a second,",
    "finish": "Removing the old server and its rows, after which there is no way back,",
    "cancel": "Removing the new server",
}


@task(
    help={
        "env": ENV,
        "to": "the new major version, such as 17",
        "plan": "say what is in the way and what it takes, or how far an upgrade is; do nothing",
        "rehearse": "upgrade a copy there and back, say how long writers would wait, and remove it",
        "prepare": "make the new server beside the old one, and have it follow; the service goes on",
        "switch": "the new server serves, the old one follows it; writers wait for about a second",
        "back": "the old server serves again, with all rows",
        "finish": "remove the old server",
        "cancel": "give up before the switch, or after the way back: remove the new server",
        "yes": YES,
        "json": "one JSON object instead of sentences",
    }
)
def db_upgrade(
    _context: Context, env: str = "", to: str = "", plan: bool = False, rehearse: bool = False, prepare: bool = False,
    switch: bool = False, back: bool = False, finish: bool = False, cancel: bool = False, yes: bool = False,
    json: bool = False,
) -> None:  # fmt: skip
    """Upgrade PostgreSQL to another major with a way back: plan, rehearse, prepare, switch, back, finish or cancel."""
    said = {
        "plan": plan, "rehearse": rehearse, "prepare": prepare, "switch": switch,
        "back": back, "finish": finish, "cancel": cancel,
    }  # fmt: skip
    with running.sentences():
        running.checked("a major version of PostgreSQL", to, MAJOR, "17")
        steps = [name for name, wanted in said.items() if wanted]
        if not to or len(steps) != 1:
            raise RefusedError(
                "Say to which major, and one of --plan, --rehearse, --prepare, --switch, --back, --finish and "
                "--cancel, "
                "as in: fab db-upgrade --to 17 --plan. Nothing was changed."
            )
        (step,) = steps
        environment = running.chosen(env, yes or not STEPS[step], STEPS[step])
        from fabfile import backups

        answer = backups.upgrade(environment, step, to)
        print(encoding.dumps(answer["result"]) if json else answer["message"])
