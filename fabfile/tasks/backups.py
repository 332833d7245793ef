"""`fab db-backup`, `db-backups`, `db-restore`: on the database host, with the programs that its timers run."""

from __future__ import annotations

import json as encoding
import re
from typing import Any

from invoke import Context, task

from fabfile.errors import RefusedError
from fabfile.hosts.environment import Environment
from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV, YES

DATABASE = re.compile(r"[a-z_][a-z0-9_]{0,62}")
BACKUP = re.compile(r"latest|[0-9]{8}T[0-9]{6}Z\.dump")
POINT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}")
TABLE = re.compile(r"[a-z_][a-z0-9_]{0,62}\.[a-z_][a-z0-9_]{0,62}")
XID = re.compile(r"[1-9][0-9]{0,18}")
MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
KINDS = ("full", "diff", "incr")
SIDE = "side"
JSON = "one JSON object instead of sentences"


@task(
    help={
        "env": ENV,
        "type": "a physical one instead of a dump: full, diff or incr",
        "keep": "how many dumps by hand stay; without it the environment's backups_keep",
        "reason": "what it is for, to be listed with it",
        "yes": YES,
        "json": JSON,
    }
)
def db_backup(
    _context: Context, env: str = "", type: str = "", keep: int = 0, reason: str = "", yes: bool = False,
    json: bool = False,
) -> None:  # fmt: skip
    """Dump the database on its host, check the dump, and remove the oldest by hand."""
    with running.sentences():
        running.checked("a reason", reason, running.TICKET, "before the autumn sale")
        if not 0 <= keep <= 1000:
            raise RefusedError(f"--keep {keep} is not a number from 1 to 1000. Nothing was changed.")
        if type and (type not in KINDS or keep or reason):
            raise RefusedError(
                f"--type is one of {', '.join(KINDS)}, without --keep and --reason: a physical backup stays as long as "
                "the inventory says. Nothing was changed."
            )
        environment = running.chosen(env, yes, "Making a backup, which pushes out the oldest,")
        from fabfile import backups

        answer = (
            backups.physical(environment, "backup", f"--type={type}")
            if type
            else backups.backup(environment, keep, reason=reason)
        )
        _show(answer, json)


@task(help={"env": ENV, "json": JSON})
def db_backups(_context: Context, env: str = "", json: bool = False) -> None:
    """List dumps and physical backups: chains, gaps in the WAL, ages, sizes, the last restore test."""
    with running.sentences():
        environment = running.chosen(env)
        from fabfile import backups

        dumps = backups.listed(environment)
        kept = backups.physical(environment, "list") if backups.has_physical(environment) else None
        if json:
            print(encoding.dumps({"dumps": dumps["result"], "physical": kept and kept["result"]}))
            return
        print(f"Dumps:\n{dumps['message']}")
        said = kept["message"] if kept else "None: the inventory wants none (backups_physical)."
        print(f"\nPhysical backups, of which any moment can be restored:\n{said}")


@task(
    help={
        "env": ENV,
        "into": "the scratch database, or for a moment the cluster beside the live one, to restore into",
        "from": "a dump's file, or latest",
        "time": "restore the whole cluster as it was then, such as 2026-11-26T21:00:00Z",
        "xid": "the same, to just before this transaction",
        "name": "the same, to this restore point",
        "latest": "the same, to now",
        "table": "one table (schema.name) of that moment, or of the cluster --into that is there, into the live "
        "database, as restored.NAME",
        "in-place": "put that moment in the place of the live cluster, which is kept beside; wants maintenance and "
        "--confirm",
        "confirm": "the name of the database that goes back in time",
        "plan": "say from what a moment would be restored, what would be lost, how long and how much room; do nothing",
        "list": "name the dumps, and do nothing",
        "test": "restore a dump (with --latest: the cluster), check it, remove it",
        "replace": "drop a scratch database of that name first",
        "drop": "drop the scratch database after the check",
        "remove": "a restored cluster to stop and remove",
        "yes": YES,
        "json": JSON,
    }
)
def db_restore(
    _context: Context, env: str = "", into: str = "", from_: str = "latest", time: str = "", xid: str = "",
    name: str = "", latest: bool = False, table: str = "", in_place: bool = False, confirm: str = "",
    plan: bool = False, list: bool = False, test: bool = False, replace: bool = False, drop: bool = False,
    remove: str = "", yes: bool = False, json: bool = False,
) -> None:  # fmt: skip
    """Restore a dump into a database, or any moment into a cluster, beside the live one; check what came back."""
    with running.sentences():
        running.checked("a name beside the live database", into or remove, DATABASE, "scratch")
        running.checked("a backup", from_, BACKUP, "latest or 20261123T023000Z.dump")
        running.checked("a moment with its zone", time, MOMENT, "2026-11-26T21:00:00Z")
        running.checked("a transaction's number", xid, XID, "71234")
        running.checked("a restore point", name, POINT, "before-the-sale")
        running.checked("a table with its schema", table, TABLE, "sales.orders")
        moment = _moment(time, xid, name, latest)
        if in_place or confirm:
            _refuse_in_place(
                moment, into or table, test, remove, list or replace or drop or from_ != "latest"
            )
            _show(
                _in_place(running.chosen(env, yes or plan, "Going back in time"), moment, confirm, plan), json
            )
            return
        if table:
            _refuse_one_table(
                moment, into, plan or test or bool(remove), list or replace or drop or from_ != "latest"
            )
            _one_table(running.chosen(env, yes, "Bringing a table back"), moment, into or SIDE, table, json)
            return
        if remove or moment:
            wish = _of_the_cluster(
                moment, into, plan, test, remove, list or replace or drop or from_ != "latest"
            )
            environment = running.chosen(env, yes or plan or test, "Restoring")
            from fabfile import backups

            _show(backups.physical(environment, *wish), json)
            return
        if plan or [bool(into), list, test].count(True) != 1:
            raise RefusedError(
                "Say one of --into NAME (a database beside the live one), --test (a new one, dropped after the check), "
                "--list, and of the cluster's moments --time, --xid, --name and --latest. Nothing was changed."
            )
        environment = running.chosen(env, yes or list or test, "Restoring")
        _show(_of_a_dump(environment, into, from_, list, replace, drop), json)


def _refuse_in_place(moment: list[str], into: str, test: bool, remove: str, of_dumps: bool) -> None:
    if not moment or into or test or remove or of_dumps:
        raise RefusedError(
            "--in-place wants one moment (--time, --xid, --name or --latest) and --confirm DATABASE, and --plan "
            "beside them at "
            "most. Nothing was changed."
        )


def _in_place(environment: Environment, moment: list[str], confirm: str, plan: bool) -> dict[str, Any]:
    from fabfile import backups

    if plan:
        return backups.physical(environment, "plan", *moment)
    if not confirm:
        raise RefusedError(
            "All of the database goes back in time, and what was written since is only in the folder that is kept. "
            "Type its name: "
            "--confirm DATABASE. What it would take: --plan. Nothing was changed."
        )
    return backups.in_place(environment, moment, confirm)


def _refuse_one_table(moment: list[str], into: str, other: bool, of_dumps: bool) -> None:
    if other or of_dumps or not (moment or into):
        raise RefusedError(
            "--table wants a moment (--time, --xid, --name or --latest), or --into NAME of a cluster that was restored "
            "before, and --plan, --test, --remove and the words for dumps by themselves. Nothing was changed."
        )


def _one_table(environment: Environment, moment: list[str], into: str, table: str, json: bool) -> None:
    from fabfile import backups

    if moment:
        restored = backups.physical(environment, "restore", *moment, f"--into={into}")
        if not json:
            print(restored["message"], flush=True)
    _show(backups.physical(environment, "table", f"--into={into}", f"--table={table}"), json)


def _of_a_dump(
    environment: Environment, into: str, source: str, listed: bool, replace: bool, drop: bool
) -> dict[str, Any]:
    from fabfile import backups

    return (
        backups.listed(environment) if listed else backups.restore(environment, into, source, replace, drop)
    )


def _moment(time: str, xid: str, name: str, latest: bool) -> list[str]:
    """The words for the one moment that was said, none when none was."""
    said = [f"--{what}={value}" for what, value in (("time", time), ("xid", xid), ("name", name)) if value]
    said += ["--latest"] * latest
    if len(said) > 1:
        raise RefusedError(f"One moment can be restored, not {' and '.join(said)}. Nothing was changed.")
    return said


def _of_the_cluster(
    moment: list[str], into: str, plan: bool, test: bool, remove: str, of_dumps: bool
) -> list[str]:
    """The words for the host's program. Raises RefusedError for words that do not go together."""
    if of_dumps or (remove and (moment or into or plan or test)) or (plan and test):
        raise RefusedError(
            "--list, --from, --replace and --drop are for dumps, --remove stands alone, and --plan does nothing else. "
            "Nothing was changed."
        )
    if remove:
        return ["drop", f"--into={remove}"]
    if test:
        if moment != ["--latest"] or into:
            raise RefusedError("The cluster is tested with --test --latest. Nothing was changed.")
        return ["restore-test"]
    return ["plan", *moment] if plan else ["restore", *moment, f"--into={into or SIDE}"]


def _show(answer: dict[str, Any], json: bool) -> None:
    print(encoding.dumps(answer["result"]) if json else answer["message"])
