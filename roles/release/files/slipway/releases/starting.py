"""A release's `start`: the program by which its units start the service and, by name, whatever else of it runs.

What it does is decided here, by what the release declares; a unit only calls it. Root writes it, the service runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway.files import write_atomically
from slipway.host import Host
from slipway.releases.declaration import Declaration
from slipway.releases.declaration_rules import DRIVERS

NAME = "start"
MODE = 0o755
SOCKET = "http.sock"
MIGRATING = ("migrate", "backfill")

HEAD = '''\
#!{venv}/bin/python
"""Starts release {release}; with a name, what else of it runs. slipway wrote this: a change of it is lost."""

import os
import sys

VENV = {venv!a}
# By the names of their units.
COMMANDS = {commands!a}
MIGRATIONS = {migrations!a}


def words(command):
    return [os.path.join(VENV, "bin", command[0]), *command[1:]]


def become(command, more):
    command = words([*command, *more])
    os.execv(command[0], command)
'''
# The migrator's address.py gives an env.py the same.
ADDRESS = '''

def give_address():
    """Where the database is, in the variables that this service reads."""
    from importlib.util import find_spec
    from urllib.parse import quote

    names = ("host", "port", "name", "user", "ca")
    said = {{name: os.environ.get({prefix!a} + "DATABASE_" + name.upper(), "") for name in names}}
    try:
        with open(os.path.join(os.environ["CREDENTIALS_DIRECTORY"], "database_password"), encoding="utf-8") as file:
            said["password"] = file.read().strip()
    except (KeyError, FileNotFoundError):
        said["password"] = ""
    except (OSError, UnicodeDecodeError) as failure:
        sys.exit(f"The credential database_password cannot be read: {{failure}}. Nothing was started.")
{need}    driver = {driver!a} or next(filter(find_spec, {drivers!a}), "")
    who = quote(said["user"], safe="") + (":" + quote(said["password"], safe="") if said["password"] else "")
    if said["host"].startswith("/"):
        where, query = "", "?host=" + quote(said["host"], safe="") + "&port=" + said["port"]
    else:
        host = "[" + said["host"] + "]" if ":" in said["host"] else said["host"]
        where, query = host + ":" + said["port"], "?ssl=verify-full" if driver == "asyncpg" else ""
        os.environ["PGSSLMODE"], os.environ["PGSSLROOTCERT"] = "verify-full", said["ca"]
    said["url"] = "postgresql+" + driver + "://" + who + "@" + where + "/" + said["name"] + query
    # Without it a driver looks for a home directory.
    os.environ["PGPASSFILE"] = "/nonexistent"
    for variable, part in {environment!a}.items():
        os.environ[variable] = said[part]
'''
# A host gives the password whenever there is one; whoever runs an image may have forgotten it.
NEED = """\
    if not said["password"] and not said["host"].startswith("/"):
        sys.exit(
            f"The credential database_password is missing or empty, and the database at {said['host']!r} asks for it. "
            "It is a file in the folder that CREDENTIALS_DIRECTORY names. Nothing was started."
        )
"""
SERVE = '''

def serve():
{check}    import uvicorn

{wait}    tell_systemd()
    uvicorn.run(
{options}    )
{listening}

def tell_systemd():
    """Started is what took its settings."""
    import socket

    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying:
            notifying.sendto(b"READY=1", "\\0" + address[1:] if address.startswith("@") else address)
'''
# A socket that an earlier start left there would be in the way: nobody answers at it.
LISTENING = """\


def where():
    path = os.environ.get({variable!a})
    if not path:
        return {{"host": "0.0.0.0", "port": {port}}}
    if os.path.exists(path):
        os.unlink(path)
    return {{"uds": path, "forwarded_allow_ips": "*"}}
"""
# By which a container is told to listen at a socket, in a folder that the edge has too.
SOCKET_VARIABLE = "SLIPWAY_SOCKET"
# uvicorn's parent would end with 0 when its workers refuse the settings. Its import takes as long as the check does.
CHECK = """\
    import subprocess

    checking = subprocess.Popen(words({check!a}))
"""
WAIT = """\
    if status := checking.wait():
        print(f"The check of release {release} ended with {{status}}; nothing was started.", file=sys.stderr)
        sys.exit(status if status > 0 else 128 - status)
"""
MAIN = """

# Workers import this file, and do nothing of it.
if __name__ == "__main__":
    # This folder is no place to import from; a setting may have kept it out already.
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    name, *more = sys.argv[1:] or [""]
{given}    if name in MIGRATIONS:
        become(MIGRATIONS[name], more)
{address}    if not name:
        serve()
    elif name in COMMANDS:
        become(COMMANDS[name], more)
    else:
        sys.exit(f"Release {release} has no {{name!r}}; it has {{', '.join([*COMMANDS, *MIGRATIONS]) or 'nothing'}}.")
"""


def program(
    app: str,
    venv: Path,
    listening: Path | int,
    release: str,
    said: Declaration,
    given: Mapping[str, str] | None = None,
) -> str:
    """The text of `start`. venv: the release's. listening: uvicorn's socket, or a port on every address, unless
    SOCKET_VARIABLE names a socket when it starts.

    given: variables for whatever it starts, where no unit sets them.
    """
    commands = {
        **(said.processes or {}),
        **{name: timer.command for name, timer in (said.timers or {}).items()},
    }
    environment = dict(said.environment or {})
    parts = [
        HEAD.format(venv=str(venv), release=release, commands=commands, migrations=_migrations(app, said)),
        ADDRESS.format(
            prefix=said.environment_prefix,
            driver=said.driver,
            drivers=DRIVERS,
            environment=environment,
            need="" if isinstance(listening, Path) else NEED,
        )
        if environment
        else "",
        SERVE.format(
            check=CHECK.format(check=said.check) if said.check else "",
            wait=WAIT.format(release=release) if said.check else "",
            options="".join(
                f"        {name}={value!a},\n"
                for name, value in _options(venv, listening, release, said).items()
            )
            + ("" if isinstance(listening, Path) else "        **where(),\n"),
            listening=""
            if isinstance(listening, Path)
            else LISTENING.format(variable=SOCKET_VARIABLE, port=listening),
        ),
        MAIN.format(
            given=f"    os.environ.update({dict(given)!a})\n" if given else "",
            address="    give_address()\n" if environment else "",
            release=release,
        ),
    ]
    return "".join(parts)


def _migrations(app: str, said: Declaration) -> dict[str, tuple[str, ...]]:
    """A release of before has them in its own program; in some of those that is the migrator's."""
    if said.sends_release:
        return {name: (app, name) for name in MIGRATING}
    return {name: ("slipway-migrator", name) for name in MIGRATING} if said.migrations else {}


def _options(venv: Path, listening: Path | int, release: str, said: Declaration) -> dict[str, Any]:
    """uvicorn's, but how many workers: that is the host's, in WEB_CONCURRENCY.

    Whoever reaches the socket is the edge. Who may say whose request it is on a port, FORWARDED_ALLOW_IPS says.
    """
    on_socket = isinstance(listening, Path)
    return {
        "app": said.application,
        "factory": said.factory,
        **({"uds": str(listening)} if on_socket else {}),
        "backlog": 2048,
        "ws": "auto" if said.websockets else "none",
        "timeout_keep_alive": 75,
        # Above the longest request, below the unit's TimeoutStopSec.
        "timeout_graceful_shutdown": 20,
        "proxy_headers": True,
        **({"forwarded_allow_ips": "*"} if on_socket else {}),
        "access_log": False,
        "server_header": False,
        **({} if said.sends_release else {"headers": [("X-Release", release)]}),
        **({"log_config": str(venv / said.log_config)} if said.log_config else {}),
    }


def text_of(host: Host, release: str, manifest: dict[str, Any]) -> bytes:
    """What the release's `start` has to be."""
    said = Declaration.of(host.app, manifest.get("service"))
    place = host.release(release)
    return program(host.app, place / "venv", host.runtime_socket(release, SOCKET), release, said).encode(
        "ascii"
    )


def write(host: Host, release: str, manifest: dict[str, Any]) -> None:
    write_atomically(host.release(release) / NAME, text_of(host, release, manifest), MODE)


def is_written(host: Host, release: str, manifest: dict[str, Any]) -> bool:
    """Whether it is there, as it has to be."""
    path = host.release(release) / NAME
    try:
        return path.stat().st_mode & 0o777 == MODE and path.read_bytes() == text_of(host, release, manifest)
    except FileNotFoundError:
        return False
