"""What of a declaration only the host can tell: whether systemd reads its calendars, and what it names is there."""

from __future__ import annotations

from pathlib import Path

from slipway.errors import RefusedError, StepError
from slipway.host import Host
from slipway.processes import run
from slipway.releases.declaration import Declaration

CALENDAR_SECONDS = 10.0
# Of a release: the root of what nginx serves of it by itself, through `current`.
PUBLIC = "public"


def check_calendars(host: Host, said: Declaration) -> None:
    """Raises RefusedError for a calendar in which this host's systemd reads no time."""
    for name, timer in (said.timers or {}).items():
        answer = run([host.systemd_analyze, "calendar", "--", timer.calendar], CALENDAR_SECONDS)
        if not answer.ok:
            raise RefusedError(
                "bundle-manifest",
                f"The timer {name} is to run at {timer.calendar!r}, in which systemd reads no time: {answer.tail(1)}.",
                "`systemd-analyze calendar` tries one.",
            )


def check_variables(host: Host, said: Declaration) -> None:
    """Raises RefusedError for what a variable of the service's own is to be given and this host does not have."""
    lacking = sorted(name for name in set(said.credentials.values()) if not host.credential(name).exists())
    if lacking:
        raise RefusedError(
            "credential-missing",
            f"The service's variables are to have the credentials {', '.join(lacking)}, which are not in "
            f"{host.credential('')}.",
            "Name them in app_credentials of the inventory and run site.yml.",
        )
    folder = _database_host(host, said)
    if "address" in (said.environment or {}).values() and folder.startswith("/"):
        raise RefusedError(
            "database-by-socket",
            "The service takes the database's address alone, and this host reaches its own over the socket in "
            f"{folder}.",
            "Set app_database_by_address: true in the inventory, run make secrets for the passwords that this asks "
            "for, and site.yml.",
        )


def _database_host(host: Host, said: Declaration) -> str:
    """What the settings say, "" where they do not."""
    name = f"{said.environment_prefix}DATABASE_HOST="
    path = host.path(f"/etc/{host.app}/{host.app}.env")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.removeprefix(name) for line in lines if line.startswith(name)), "")


def check_programs(host: Host, release: str, said: Declaration) -> None:
    """Raises StepError where a process or a timer names a program that the release's environment has not."""
    commands = {
        **(said.processes or {}),
        **{name: timer.command for name, timer in (said.timers or {}).items()},
    }
    for name, (program, *_) in commands.items():
        if not (host.release(release) / "venv/bin" / program).exists():
            raise StepError(
                "program-missing",
                f"Release {release} is to run {program} as {name}, and there is no such program in its environment. "
                "What there was of it was removed; traffic is untouched. A program is one of [project.scripts], or of "
                "a package of its lock.",
            )


def link_static(host: Host, release: str, said: Declaration) -> None:
    """Puts the folder of files for nginx where nginx looks, under its own name. Raises StepError where it is not."""
    if said.static is None:
        return
    package, _, folder = said.static.partition(":")
    place, inside = host.release(release), f"{package.replace('.', '/')}/{folder}"
    found = [path / inside for path in place.glob("venv/lib/python3*/site-packages")]
    if not found or not found[0].is_dir():
        raise StepError(
            "static-missing",
            f"Release {release} is to have files for nginx in {said.static}, and its own wheel brought no such folder. "
            "What there was of it was removed; traffic is untouched.",
        )
    (place / PUBLIC).mkdir(mode=0o755)
    (place / PUBLIC / found[0].name).symlink_to(Path("..") / found[0].relative_to(place))
