"""All hosts of an environment asked at the same time, each once, and its database by db-status beside them."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fabfile.database import look, texts
from fabfile.database.asking import place, ssh
from fabfile.database.checks import acceptances, thresholds
from fabfile.database.findings import Report
from fabfile.errors import FabError
from fabfile.hosts import environment as environments
from fabfile.hosts.app_host import AppHost
from fabfile.hosts.environment import Environment
from fabfile.upkeep.doctor import accepting
from fabfile.upkeep.doctor.items import GROUPS
from fabfile.upkeep.doctor.judging import Seen

PROGRAM = "/usr/local/lib/slipway/look-at-host"
# As the program prints it (plugins/module_utils/slipway_verify/cli.py).
MARK = "slipway-looked "
SECONDS = 60
OF_SSH = 255


class NoAnswerError(Exception):
    """Why a host said nothing, in words."""


def seen(environment: Environment) -> Seen:
    """One look. Raises RefusedError for an inventory that cannot be read; a host that is away raises nothing."""
    began = time.monotonic()
    variables = environments.variables_of(environment.name)
    hosts = environments.hosts_of(variables)
    given = variables.of(environment.app_hosts[0].name, accepting.NAME, []) or []
    accepted = accepting.load(given, [item.id for items in GROUPS.values() for item in items])
    with ThreadPoolExecutor(max_workers=len(hosts) + 1) as pool:
        database = pool.submit(_database, environment)
        answers = dict(zip([host.name for host in hosts], pool.map(_attempted, hosts), strict=True))
        report, unlooked, replicas = database.result()
    return Seen(
        environment=environment.name,
        app=environment.app,
        groups={name: tuple(members) for name, members in variables.groups.items()},
        hosts={name: said for name, said in answers.items() if not isinstance(said, NoAnswerError)},
        unseen={name: str(said) for name, said in answers.items() if isinstance(said, NoAnswerError)},
        database=report,
        unlooked=unlooked,
        replicas=replicas,
        accepted=accepted,
        seconds=time.monotonic() - began,
    )


def _database(environment: Environment) -> tuple[Report | None, str, int]:
    """(What db-status says, else why it could not, how many standbys are expected)."""
    if not environment.has_database:
        return None, "", 0
    database = place.of(environment)
    thresholds.of(database.overrides)
    accepted = acceptances.load(database.accepted)
    try:
        with look.Look(environment, database, accepted) as eye:
            return eye.again(), "", database.replicas
    except FabError as failure:
        return None, texts.plain(failure, 120), database.replicas


def _attempted(host: AppHost) -> Mapping[str, Any] | NoAnswerError:
    try:
        return asked(host)
    except NoAnswerError as failure:
        return failure


def asked(host: AppHost) -> Mapping[str, Any]:
    """What a host said. Raises NoAnswerError."""
    command = ssh.command(host, shlex.join(["sudo", "-n", PROGRAM, host.app]))
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"it did not answer in {SECONDS} s") from None
    line = next((line for line in done.stdout.splitlines() if line.startswith(MARK)), "")
    try:
        return dict(json.loads(line.removeprefix(MARK)))
    except (ValueError, TypeError):
        said = texts.plain((done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1], 90)
    if done.returncode == OF_SSH:
        raise NoAnswerError(f"it cannot be reached: {said}")
    raise NoAnswerError(
        f"look-at-host said: {said}. Where site.yml has not run since an earlier Slipway: "
        f"ansible-playbook -i inventory/ENV site.yml --limit {host.name}"
    )
