"""A release's `start`: the program by which its units start the service and, by name, whatever else of it runs.

What it does is decided here, by what the release declares; a unit only calls it. Root writes it, the service runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

from slipway.files import write_atomically
from slipway.host import Host
from slipway.releases.declaration import Declaration
from slipway.releases.declaration_rules import DRIVERS
from slipway.releases.starting_text import (
    AHEAD,
    AHEAD_OF_CHECK,
    APART,
    CHECK,
    HEAD,
    LISTENING,
    MAIN,
    PRELOAD,
    SERVE,
    SHARED,
    WAIT,
)
from slipway.releases.starting_variables import ADDRESS, NEED, NO_FOLDER, VARIABLES

NAME = "start"
MODE = 0o755
SOCKET = "http.sock"
MIGRATING = ("migrate", "backfill")

# By which a container is told to listen at a socket, in a folder that the edge has too.
SOCKET_VARIABLE = "SLIPWAY_SOCKET"


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
    parts = [
        HEAD.format(venv=str(venv), release=release, commands=commands, migrations=_migrations(app, said)),
        _variables(said, isinstance(listening, Path)),
        SERVE.format(
            check=CHECK.format(check=said.check) if said.check else "",
            ahead=_ahead(release, said),
            options="".join(
                f"        {name}={value!a},\n"
                for name, value in _options(venv, listening, release, said).items()
            )
            + ("" if isinstance(listening, Path) else "        **where(),\n"),
            listening=""
            if isinstance(listening, Path)
            else LISTENING.format(variable=SOCKET_VARIABLE, port=listening),
        ),
        PRELOAD.format(application=said.application, shared=SHARED) if said.preload else "",
        MAIN.format(
            given=f"    os.environ.update({dict(given)!a})\n" if given else "",
            variables="    give_variables()\n" if said.environment else "",
            release=release,
        ),
    ]
    return "".join(parts)


def _variables(said: Declaration, on_host: bool) -> str:
    """Credentials, and the database's address where it is asked for, in the service's own variables."""
    environment = dict(said.environment or {})
    if not environment:
        return ""
    asked = environment.keys() - said.credentials.keys()
    address = ADDRESS.format(
        prefix=said.environment_prefix,
        driver=said.driver,
        drivers=DRIVERS,
        need=(NO_FOLDER if "address" in environment.values() else "") + ("" if on_host else NEED),
    )
    return VARIABLES.format(said="address()" if asked else "{}", environment=environment) + (
        address if asked else ""
    )


def _ahead(release: str, said: Declaration) -> str:
    """What is done before the workers are started."""
    wait = WAIT.format(release=release) if said.check else ""
    if not said.preload:
        return wait
    loading = AHEAD_OF_CHECK.format(wait=indent(wait, "    ")) if wait else AHEAD
    return loading + APART


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
