"""Who is started anew for a replaced library, and how: nothing that a customer would notice is done here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

# Nobody waits for these: what they do meanwhile is done when they are back.
AT_ONCE = re.compile(
    r"(rsyslog|ssh|cron|chrony|unattended-upgrades|systemd-(journald|timesyncd|resolved|networkd|udevd)|polkit|irqbalance"
    r"|multipathd|networkd-dispatcher|packagekit|udisks2|prometheus|prometheus-alertmanager|prometheus-node-exporter"
    r"|grafana-server)\.service"
)
PID, OLD = "/run/nginx.pid", "/run/nginx.pid.oldbin"
SECONDS = 30.0
PAUSE = 0.1


class RestartError(Exception):
    """What was not started anew, and how it is then."""


def kind(unit: str, app: str) -> str:
    """at-once, nginx, release, database, or left: to a reboot, or to whoever owns it."""
    if AT_ONCE.fullmatch(unit) or unit == "init.scope":
        return "at-once"
    if unit == "nginx.service":
        return "nginx"
    if re.fullmatch(rf"{re.escape(app)}(-process)?@.*\.service", unit):
        return "release"
    if re.fullmatch(r"postgresql@.*\.service", unit):
        return "database"
    return "left"


def sorted_out(stale: dict[str, list[str]], app: str) -> dict[str, list[str]]:
    """{kind: units}."""
    found: dict[str, list[str]] = {name: [] for name in ("at-once", "nginx", "release", "database", "left")}
    for unit in sorted(stale):
        found[kind(unit, app)].append(unit)
    return found


def restart(unit: str) -> None:
    """Start a unit anew where it runs. Raises RestartError."""
    command = ["systemctl", "daemon-reexec"] if unit == "init.scope" else ["systemctl", "try-restart", unit]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=120)
    if done.returncode:
        raise RestartError(f"{unit} was not started anew: {done.stderr.strip()[-300:]}")


def upgrade_nginx(pid_file: str = PID, old_file: str = OLD, seconds: float = SECONDS) -> None:
    """nginx's own way: the new program takes the listening sockets over, the old one answers what it has, and ends.

    Raises RestartError; the old one serves on then.
    """
    tested = subprocess.run(["nginx", "-t", "-q"], capture_output=True, text=True, check=False)
    if tested.returncode:
        raise RestartError(
            f"nginx refuses its own files, and runs on as it is: {tested.stderr.strip()[-300:]}"
        )
    # A run that was cut off may have left both.
    old = number(old_file)
    if old is None or not lives(old):
        old = number(pid_file)
        if old is None or not lives(old):
            raise RestartError(
                f"nginx does not run: {pid_file} names no process. Type: systemctl start nginx"
            )
        os.kill(old, signal.SIGUSR2)
        wait(
            lambda: number(pid_file) not in (None, old),
            seconds,
            "its new program did not start; the old one serves on",
        )
    new = number(pid_file)
    if new is None or new == old or not lives(new):
        raise RestartError("nginx's new program has ended; the old one serves on. Type: journalctl -u nginx")
    os.kill(old, signal.SIGQUIT)
    wait(
        lambda: not lives(old), seconds * 4, "its old program still answers a long request, and ends after it"
    )


def wait(over, seconds: float, otherwise: str) -> None:  # type: ignore[no-untyped-def]
    """Until over() is true. Raises RestartError with what is so when it never is."""
    deadline = time.monotonic() + seconds
    while not over():
        if time.monotonic() > deadline:
            raise RestartError(f"nginx: {otherwise}")
        time.sleep(PAUSE)


def number(path: str) -> int | None:
    """The process that a file names."""
    try:
        with open(path, encoding="ascii") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return None


def lives(pid: int) -> bool:
    """Whether that process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
