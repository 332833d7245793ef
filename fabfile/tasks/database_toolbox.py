"""What on call types after db-status: `fab db-activity` and its neighbours, `db-explain`, `db-kill`, `db-shell`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context, Exit, task

from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV, YES

if TYPE_CHECKING:
    from fabfile.database.toolbox.readings import Reading

JSON = "one JSON object instead of tables"
LIMIT = "rows of a table at most"


@task(
    help={
        "env": ENV,
        "watch": "look again every so many seconds, until Ctrl-C",
        "idle": "sessions that do nothing as well",
        "json": JSON,
    }
)
def db_activity(
    _context: Context, env: str = "", watch: str = "", idle: bool = False, json: bool = False
) -> None:
    """Who does what in the database now, and who waits for whom, the root of every queue first."""
    with running.sentences():
        from fabfile.database.screen import terminal, watching
        from fabfile.database.toolbox import screen

        seconds = watching.interval(watch)
        if seconds and json:
            raise RefusedError("--watch draws and --json prints once: give one of them.")
        environment = running.chosen(env)
        from fabfile.database.asking.connection import Reopened
        from fabfile.database.toolbox import activity

        with Reopened(environment, "slipway db-activity") as way:
            if json:
                from fabfile.database.toolbox import reading

                print(reading.as_json((), sessions=activity.as_dicts(way.read(activity.read))))
                return
            out = terminal.console()
            look = watching.Watch(
                lambda: way.read(activity.read),
                lambda sessions, out: screen.activity(sessions, environment.name, idle, out),
                lambda _sessions: 0,
                out,
            )
            if not seconds:
                out.print(look.draw(look.look(), out))
            elif code := look.run(seconds):
                raise Exit(code=code)


@task(
    help={
        "env": ENV,
        "everything": "every lock, and not only strong ones and those waited for",
        "limit": LIMIT,
        "json": JSON,
    }
)
def db_locks(
    _context: Context, env: str = "", everything: bool = False, limit: int = 50, json: bool = False
) -> None:
    """Locks that somebody waits for, with who holds them and who waits; and strong ones."""
    show(env, limit, json, "locks", everything)


@task(help={"env": ENV, "by": "total, mean, calls or io", "limit": LIMIT, "json": JSON})
def db_top(_context: Context, env: str = "", by: str = "total", limit: int = 15, json: bool = False) -> None:
    """The statements that cost the database most, since their statistics were reset."""
    show(env, limit, json, "top", by)


@task(help={"env": ENV, "limit": LIMIT, "json": JSON})
def db_bloat(_context: Context, env: str = "", limit: int = 20, json: bool = False) -> None:
    """Room in tables that holds no row: measured where pgstattuple is installed, else estimated."""
    show(env, limit, json, "bloat")


@task(help={"env": ENV, "limit": LIMIT, "json": JSON})
def db_indexes(_context: Context, env: str = "", limit: int = 20, json: bool = False) -> None:
    """Indexes that are invalid, needless or never used, and foreign keys without one."""
    show(env, limit, json, "indexes")


@task(help={"env": ENV, "limit": LIMIT, "json": JSON})
def db_sizes(_context: Context, env: str = "", limit: int = 20, json: bool = False) -> None:
    """The sizes of databases, tables and indexes."""
    show(env, limit, json, "sizes")


def show(env: str, limit: int, as_json: bool, name: str, *how: Any) -> None:
    """Print one of the toolbox's readings, a function of toolbox.readings by its name."""
    with running.sentences():
        if not 1 <= limit <= 10_000:
            raise RefusedError(f"--limit {limit} is not a number from 1 to 10000.")
        environment = running.chosen(env)
        from fabfile.database.asking.connection import looking
        from fabfile.database.screen import terminal
        from fabfile.database.toolbox import reading, readings, screen

        read: Callable[..., Reading] = getattr(readings, name)
        with looking(environment, application=f"slipway db-{name}") as connection:
            found = read(connection, *how, limit)
        if as_json:
            print(reading.as_json(found.tables, note=found.note))
        else:
            out = terminal.console()
            out.print(screen.tables_of(found, out))


@task(
    help={
        "env": ENV,
        "query_id": "the id of a statement that fab db-top shows",
        "file": "a file with one statement; - is the standard input",
        "analyze": "run it, in a transaction that can write nothing; refused for what writes or locks rows",
        "yes": YES,
    }
)
def db_explain(
    _context: Context,
    env: str = "",
    query_id: str = "",
    file: str = "",
    analyze: bool = False,
    yes: bool = False,
) -> None:
    """The plan of a statement, by its id (the plan for any values) or from a file. Nothing is run without --analyze."""
    with running.sentences():
        if bool(query_id) == bool(file):
            raise RefusedError("Give --query-id ID, which fab db-top shows, or --file FILE. Nothing was run.")
        from fabfile.database.toolbox import explain

        statement = explain.parsed(_text(file, explain.LARGEST)) if file else None
        environment = running.chosen(env, yes or not analyze, "Running a statement")
        from fabfile.database.asking import place
        from fabfile.database.asking.connection import tunnel

        with tunnel(place.of(environment)) as way:
            if statement is None:
                with way.connect("slipway_ops", "slipway db-explain") as ops:
                    statement = explain.parsed(explain.kept(ops, query_id))
            # A plan needs the right to read what is planned; who looks has it for nothing, who dumps for all.
            with way.connect("slipway_backup", "slipway db-explain") as reader:
                print(explain.plan(reader, statement, analyze))


def _text(file: str, largest: int) -> str:
    try:
        with sys.stdin if file == "-" else Path(file).open(encoding="utf-8") as stream:
            text = stream.read(largest + 1)
    except (OSError, UnicodeDecodeError) as failure:
        raise RefusedError(f"{file} cannot be read as text: {failure}. Nothing was run.") from None
    if len(text) > largest:
        raise RefusedError(f"{file} is longer than {largest} characters. Nothing was run.")
    return text


@task(
    positional=["pid"],
    help={
        "pid": "the session, as fab db-activity shows it",
        "env": ENV,
        "terminate": "end the session when cancelling its statement was not enough",
        "yes": YES,
        "even_wraparound": "end even a vacuum that prevents transaction id wraparound",
        "even_planned": "end even a migration, a backup, a build of an index or a vacuum",
    },
)
def db_kill(
    _context: Context,
    pid: str,
    env: str = "",
    terminate: bool = False,
    yes: bool = False,
    even_wraparound: bool = False,
    even_planned: bool = False,
) -> None:
    """Show a session, ask, and cancel its statement; with --terminate or a second yes, end the session."""
    with running.sentences():
        if not (pid.isascii() and pid.isdecimal() and 1 <= int(pid) < 2**31):
            raise RefusedError(f"{pid!r} is no pid; fab db-activity shows them. Nothing was done.")
        asks = sys.stdin.isatty() and not yes
        environment = running.chosen(env, yes, "Ending a session")
        from fabfile.database.asking.connection import looking
        from fabfile.database.toolbox import kill

        def confirm(question: str) -> bool:
            if yes:
                return True
            if not asks:
                raise RefusedError(
                    f"{question} There is no terminal to say yes on: add --yes. Nothing was done."
                )
            return input(f"{question} Type yes: ").strip() == "yes"

        wish = kill.Wish(
            confirm, terminate, even_wraparound, even_planned, may_ask=asks, environment=environment.name
        )
        with looking(environment, "slipway_signal", "slipway db-kill") as connection:
            print(kill.end(connection, int(pid), wish, print))


@task(help={"env": ENV, "role": "slipway_ops, slipway_backup or slipway_signal"})
def db_shell(_context: Context, env: str = "", role: str = "slipway_ops") -> None:
    """A psql on the database, read-only, as the role that looks."""
    with running.sentences():
        from fabfile.database.toolbox import shell

        shell.checked(role)
        shell.program()
        environment = running.chosen(env)
        from fabfile.database.asking import place
        from fabfile.database.asking.connection import tunnel

        with tunnel(place.of(environment)) as way:
            code = shell.run(way, role)
        if code:
            raise Exit(code=code)
