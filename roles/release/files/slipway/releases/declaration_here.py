"""What of a declaration only the host can tell: whether systemd reads its calendars, and its programs are there."""

from __future__ import annotations

from slipway.errors import RefusedError, StepError
from slipway.host import Host
from slipway.processes import run
from slipway.releases.declaration import Declaration

CALENDAR_SECONDS = 10.0


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
