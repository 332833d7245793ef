"""`fab check-service`: whether a service is what Slipway asks of one."""

from __future__ import annotations

import re
from pathlib import Path

from invoke import Context, Exit, task

from fabfile.errors import RefusedError
from fabfile.tasks import running

# What a reading task ends with that found something; 1 is a fault of fab's.
FOUND = 3
SETTING = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")


@task(
    name="check-service",
    help={
        "path": "the service's folder, which may also stand behind the task; without it service/",
        "env": "the environment whose app_python it is tried under; without it Ubuntu 22.04's",
        "settings": "a file of NAME=value lines, what it needs to run, as /etc/<app>/<app>.env has it",
        "credentials": "a folder with a file for each of its secrets",
        "json": "one JSON object instead of lines",
    },
)
def check_service(
    _context: Context,
    path: str = "",
    env: str = "",
    settings: str = "",
    credentials: str = "",
    json: bool = False,
) -> None:
    """Build a service as for a host, start it here, and say line by line what of the contract holds."""
    with running.sentences():
        from fabfile.bundle import archive
        from fabfile.contract import checking, lines
        from fabfile.hosts import environment

        folder = Path(path).expanduser().resolve() if path else archive.PROJECT / "service"
        given = _settings(settings)
        secrets = Path(credentials).expanduser().resolve() if credentials else None
        if secrets and not secrets.is_dir():
            raise RefusedError(f"--credentials {credentials} is no folder. Nothing was tried.")
        found = []
        for line in checking.check(folder, given, secrets, environment.load(env).python if env else ""):
            found.append(line)
            if not json:
                print(lines.text(line), flush=True)
        if json:
            print(lines.as_json(str(folder), found))
        if not lines.is_kept(found):
            raise Exit(code=FOUND)


def _settings(path: str) -> dict[str, str]:
    """Raises RefusedError for a line that is none."""
    if not path:
        return {}
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as failure:
        raise RefusedError(f"--settings {path} cannot be read: {failure}. Nothing was tried.") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(("#", ";")):
            continue
        setting = SETTING.fullmatch(line.strip())
        if not setting:
            raise RefusedError(f"--settings {path}, line {number}, is not NAME=value. Nothing was tried.")
        value = setting[2]
        found[setting[1]] = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return found
