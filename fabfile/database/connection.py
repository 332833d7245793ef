"""A connection to an environment's database over SSH, without a password: its socket is forwarded to here."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from fabfile.database import texts
from fabfile.environment import AppHost, Database, Environment, database_of
from fabfile.errors import FabError, RefusedError

SOCKETS = "/var/run/postgresql"
CONNECT_SECONDS = 15
READY = "slipway-forwards"
# The command says that the forward is there, and goes when its input does.
REMOTE = f"echo {READY}; exec cat >/dev/null"


class UnreachableError(FabError):
    """The database, or the host it is on, does not answer."""

    exit_code = 3


@dataclass(frozen=True)
class Forward:
    """A database's socket, forwarded to a folder of this machine that only its user can open."""

    database: Database
    folder: Path


@contextmanager
def forwarding(environment: Environment) -> Iterator[Forward]:
    """The socket of the environment's database, here. Raises UnreachableError, RefusedError."""
    database = database_of(environment.name)
    folder = Path(tempfile.mkdtemp(prefix="slipway-"))
    process = None
    try:
        process = subprocess.Popen(
            _command(database, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C is for whoever uses the connection, not for the connection.
            start_new_session=True,
        )
        _wait_until_ready(process, database.host)
        yield Forward(database, folder)
    finally:
        if process is not None:
            process.kill()
            process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def _command(database: Database, folder: Path) -> list[str]:
    host = database.host
    for text in (host.address, host.user):
        if not text or text.startswith("-"):
            raise RefusedError(f"{text!r} cannot be given to ssh. Nothing was changed.")
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(host.known_hosts),
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ExitOnForwardFailure": "yes",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ControlPath": "none",
        "LogLevel": "ERROR",
    }
    if host.key_file:
        options |= {"IdentityFile": str(host.key_file), "IdentitiesOnly": "yes"}
    words = [f"-o{name}={value}" for name, value in options.items()]
    name = f".s.PGSQL.{database.port}"
    return [
        "ssh", "-T", *words, f"-p{host.port}", f"-l{host.user}", f"-L{folder / name}:{SOCKETS}/{name}",
        "--", host.address, REMOTE,
    ]  # fmt: skip


def _wait_until_ready(process: subprocess.Popen[str], host: AppHost) -> None:
    assert process.stdout is not None
    timer = threading.Timer(CONNECT_SECONDS * 2, process.kill)
    timer.start()
    try:
        line = process.stdout.readline()
    finally:
        timer.cancel()
    if line.strip() != READY:
        process.kill()
        _, errors = process.communicate()
        said = texts.plain(errors.strip().splitlines()[-1] if errors.strip() else "no answer in time", 300)
        raise UnreachableError(
            f"{host.name} ({host.address}) cannot be reached over SSH: {said}. Nothing was changed."
        )


@contextmanager
def looking(
    environment: Environment,
    role: str = "slipway_ops",
    application: str = "slipway",
    statement_seconds: float = 15.0,
) -> Iterator[psycopg.Connection[Any]]:
    """An open connection as the role, read-only unless it says otherwise. Raises UnreachableError, RefusedError."""
    with (
        forwarding(environment) as forward,
        opened(forward, role, application, statement_seconds) as connection,
    ):
        yield connection


@contextmanager
def opened(
    forward: Forward, role: str, application: str, statement_seconds: float = 15.0
) -> Iterator[psycopg.Connection[Any]]:
    """A connection through a forwarded socket."""
    host = forward.database.host
    try:
        connection = psycopg.connect(
            host=str(forward.folder),
            port=forward.database.port,
            user=role,
            dbname=forward.database.name,
            application_name=application,
            connect_timeout=CONNECT_SECONDS,
            autocommit=True,
            options=f"-cdefault_transaction_read_only=on -cstatement_timeout={statement_seconds:g}s -clock_timeout=1s",
        )
    except psycopg.OperationalError as failure:
        lines = [line for line in str(failure).strip().splitlines() if line.strip()] or [
            "no reason was given"
        ]
        said = texts.plain(lines[0].split("failed: ", 1)[-1], 300)
        raise UnreachableError(
            f"PostgreSQL on {host.name} does not take {role} in: {said}. Nothing was changed. "
            f"Type: fab db-status, or on the host: systemctl status 'postgresql@*'"
        ) from None
    with connection:
        yield connection
