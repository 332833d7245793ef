"""One SSH connection to the database host, one command of its `database-backup`, one answer."""

from __future__ import annotations

import json
import shlex
from typing import Any

from fabfile.errors import FabError, FailedError, LockedError, RefusedError
from fabfile.hosts import environment
from fabfile.hosts.connection import UNREACHABLE, Remote, UnreachableError
from fabfile.hosts.environment import AppHost, Environment

PROGRAM = "sudo -n -u slipway_backup /usr/local/lib/slipway/database-backup --json --app={app}"
PHYSICAL = "sudo -n -u postgres /usr/local/lib/slipway/physical-backup --json --app={app}"
UPGRADE = "sudo -n /usr/local/lib/slipway/database-upgrade --json --app={app}"
ERRORS: dict[int, type[FabError]] = {2: RefusedError, 3: FailedError, 4: LockedError}


def backup(found: Environment, keep: int = 0, kind: str = "hand", reason: str = "") -> dict[str, Any]:
    """Makes a backup; {"message": a sentence, "result": its record}. keep: 0 is the environment's own number.

    Raises RefusedError, FailedError (with what is left), LockedError (with who makes one), UnreachableError.
    """
    words = ["backup", f"--kind={kind}", f"--reason={reason}"]
    if keep:
        words.append(f"--keep={keep}")
    host = environment.host_of(found.name, "db")
    if host.name not in {each.name for each in found.app_hosts}:
        words.append(f"--release={_live(found)}")
    return _ask(found, words)


def backup_point(found: Environment, reason: str) -> str:
    """Makes a backup that routine ones never push out; says its file and size in a sentence. Raises as backup does."""
    record = backup(found, kind="point", reason=reason)["result"]
    return f"Backup {record['file']}: {record['detail']}."


def restore(
    found: Environment, into: str = "", source: str = "latest", replace: bool = False, drop: bool = False
) -> dict[str, Any]:
    """Restores a backup beside the live database and checks it. into: "" is a new database, dropped after the check."""
    if not into:
        return _ask(found, ["restore-test", f"--from={source}"])
    flags = ["--replace"] * replace + ["--drop"] * drop
    return _ask(found, ["restore", f"--into={into}", f"--from={source}", *flags])


def listed(found: Environment) -> dict[str, Any]:
    """All backups, newest first: {"message": a line each, "result": their records}."""
    return _ask(found, ["list"])


def has_physical(found: Environment) -> bool:
    """Whether the inventory wants physical backups, of which any moment can be restored."""
    host = environment.host_of(found.name, "db")
    return bool(environment.variables_of(found.name).of(host.name, "backups_physical", False))


def physical(found: Environment, *words: str) -> dict[str, Any]:
    """A command of the host's `physical-backup`: {"message": sentences, "result": what it made or found}.

    Raises RefusedError where the inventory wants none, and what backup raises.
    """
    if not has_physical(found):
        raise RefusedError(
            f"{found.name} has no physical backups, of which any moment could be restored (backups_physical in its "
            "inventory). Nothing was changed. Dumps are restored with: fab db-restore --into scratch"
        )
    return _ask(found, list(words), PHYSICAL)


def in_place(found: Environment, moment: list[str], database: str) -> dict[str, Any]:
    """Puts a moment in the place of the live cluster. database: its name, typed. Raises as physical does."""
    serving = [host.name for host in found.app_hosts if _serves(found, host)]
    if serving:
        raise RefusedError(
            f"{' and '.join(serving)} would go on writing into a database that goes back in time. Nothing was "
            "changed. First: "
            f"fab maintenance --on --env {found.name}"
        )
    return physical(found, "in-place", *moment, f"--database={database}")


def _serves(found: Environment, host: AppHost) -> bool:
    """Whether it has a live release, and customers are let in."""
    folder = f"/srv/{found.app}"
    _, output, _ = _run(
        Remote(host), f"test -L {folder}/current && test ! -e {folder}/maintenance && echo yes"
    )
    return output.strip() == "yes"


def upgrade(found: Environment, step: str, to: str) -> dict[str, Any]:
    """A step of the upgrade to another major: {"message": sentences, "result": what it found or measured}.

    Raises RefusedError where the inventory plans none, and what backup raises.
    """
    host = environment.host_of(found.name, "db")
    planned = str(environment.variables_of(found.name).of(host.name, "postgresql_upgrade_to", ""))
    if planned != to:
        raise RefusedError(
            f"The inventory of {found.name} plans {f'an upgrade to {planned}' if planned else 'no upgrade'} "
            f'(postgresql_upgrade_to). Nothing was changed. Say postgresql_upgrade_to: "{to}" in it, and type: '
            f"ansible-playbook -i inventory/{found.name} playbooks/database.yml. docs/runbooks/upgrade-postgresql.md"
        )
    return _ask(found, [step, f"--to={to}"], UPGRADE)


def restore_point(found: Environment, name: str, reason: str) -> str:
    """Names this moment in the WAL, so that it can be restored; a sentence, "" where no WAL is kept."""
    if not has_physical(found):
        return ""
    return str(physical(found, "point", f"--name={name}", f"--reason={reason}")["message"])


def _ask(found: Environment, words: list[str], program: str = PROGRAM) -> dict[str, Any]:
    host = environment.host_of(found.name, "db")
    called = program.rpartition("/")[2].partition(" ")[0]
    status, output, errors = _run(Remote(host), f"{program.format(app=found.app)} {shlex.join(words)}")
    try:
        answer = dict(json.loads(output))
    except ValueError:
        said = (errors.strip() or output.strip() or "nothing")[-2000:]
        raise FailedError(
            f"{host.name} cannot perform {called} {words[0]} (status {status}): {said}\n"
            f"Is the host configured? Type: ansible-playbook -i inventory/{found.name} playbooks/database.yml"
        ) from None
    if not answer["ok"]:
        raise ERRORS.get(int(answer["exit"]), FailedError)(f"{host.name}: {answer['message']}")
    return answer


def _run(remote: Remote, command: str) -> tuple[int, str, str]:
    """(status, output, errors). No limit of time: a dump takes as long as the data does, and a lost host is noticed."""
    remote.open()
    try:
        done = remote.connection.run(command, hide=True, warn=True, in_stream=False)
    except UNREACHABLE as failure:
        reason = str(failure) or type(failure).__name__
        raise UnreachableError(
            f"{remote.name} ({remote.host.address}) was lost over SSH: {reason}. What it was doing may go on there. "
            "Type: fab db-restore --list"
        ) from None
    finally:
        remote.close()
    return int(done.return_code), done.stdout, done.stderr


def _live(found: Environment) -> str:
    """The live release of the first app host; empty when there is none."""
    _, output, _ = _run(Remote(found.app_hosts[0]), f"readlink /srv/{found.app}/current")
    return output.strip().rpartition("/")[2]
