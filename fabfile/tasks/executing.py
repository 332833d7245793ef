"""`fab exec`: a command of the service itself, once."""

from __future__ import annotations

import shlex
import sys

from invoke import Context, Exit, task

from fabfile import exit_codes
from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.hosts import HOST
from fabfile.tasks.rollouts import ENV, YES


@task(
    name="exec",
    help={
        "env": ENV,
        "words": "the command as one argument; the same as what stands behind --",
        "host": f"{HOST}; the first one by default",
        "seconds": "how long it may take, up to a day",
        "input": "give it what stands on standard input, up to 1 MB; it is then not ended with the connection",
        "yes": YES,
    },
)
def execute(
    _context: Context,
    env: str = "",
    words: str = "",
    host: str = "",
    seconds: int = 600,
    input: bool = False,
    yes: bool = False,
) -> None:
    """Run a command of the service itself, once, in its sandbox: fab exec --env ENV -- purge."""
    try:
        with running.sentences():
            status = _executed(env, words, host, seconds, input, yes)
    except Exit as ended:
        # Whatever kept it from being run: any other code is the command's own.
        code = ended.code if ended.code == exit_codes.TOO_LONG else exit_codes.NOT_RUN
        raise Exit(ended.message, code=code) from None
    raise Exit(code=status)


def _executed(env: str, words: str, host: str, seconds: int, input: bool, yes: bool) -> int:
    try:
        command = shlex.split(words)
    except ValueError as failure:
        raise RefusedError(f"{words!r} is no command: {failure}. Nothing was run.") from None
    if not command:
        raise RefusedError(
            "There is no command. What the service has: fab exec -- --help. One is typed as: "
            "fab exec --env ENV -- purge. Nothing was run."
        )
    running.checked("a number of seconds", str(seconds), running.LONG, "600, and at most 86400")
    (chosen,) = running.hosts(host) or [""]
    environment = running.chosen(env, yes, "Running a command of the service")
    from fabfile.upkeep import one_off

    given = sys.stdin.buffer.read(one_off.INPUT_BYTES + 1) if input else None
    if given is not None and len(given) > one_off.INPUT_BYTES:
        raise RefusedError("Standard input holds more than 1 MB. Nothing was run.")
    return one_off.run(environment, command, seconds, chosen, given)
