"""A cluster beside the live one: its folder, a server that nobody's service reaches, and its end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from database_backup import files
from database_backup.errors import FailedError, RefusedError
from database_backup.physical.settings import Settings
from database_backup.server import command, environment, shown

NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
UNFINISHED = "unfinished"
ABOUT = "about.json"
FIRST_PORT = 55433
STOP_SECONDS = 60.0
PAUSE = 0.2
LAST_LINES = 6
REACHED, DOWN = "shutdown at recovery target", "database system is shut down"
HBA = """local all postgres peer
local all slipway_backup peer map=slipway
local all all reject
"""
# On the command line, which outranks what ALTER SYSTEM said in the data that is restored.
OPTIONS = {
    "listen_addresses": "", "unix_socket_permissions": "0777", "archive_mode": "off", "archive_command": "",
    "primary_conninfo": "", "primary_slot_name": "", "hot_standby": "off", "shared_buffers": "64MB",
    "max_connections": "20", "max_wal_size": "256MB", "min_wal_size": "80MB", "max_prepared_transactions": "100",
    "max_wal_senders": "0", "max_logical_replication_workers": "0", "wal_level": "replica", "ssl": "off",
    "logging_collector": "off",
    "log_destination": "stderr", "shared_preload_libraries": "", "recovery_target_action": "promote",
    "external_pid_file": "", "cluster_name": "", "synchronous_standby_names": "", "huge_pages": "off",
}  # fmt: skip


class Side:
    """A restored cluster by its name; its folder may not be there yet."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings, self.name = settings, name
        self.folder = settings.sides / name
        self.data, self.socket = self.folder / "data", self.folder / "socket"

    @property
    def about(self) -> dict[str, Any]:
        """What was restored into it, and its port."""
        return files.read(self.folder / ABOUT)

    def lay_out(self, about: dict[str, Any]) -> None:
        """Makes the folder and the server's files. From here on it is there, and unfinished."""
        self.folder.mkdir(mode=0o750)
        (self.folder / UNFINISHED).touch()
        files.sync(self.settings.sides)
        # Made here, they get the group of the folder above, whose members may look in.
        for folder, mode in ((self.data, 0o700), (self.socket, 0o750), (self.folder / "tablespaces", 0o700)):
            folder.mkdir()
            folder.chmod(mode)
        self.folder.chmod(0o750)
        port = FIRST_PORT + len([each for each in self.settings.sides.iterdir() if each.is_dir()]) - 1
        files.write_whole(self.folder / ABOUT, {**about, "port": port})
        (self.folder / "pg_hba.conf").write_text(HBA, encoding="utf-8")
        maps = "".join(f"slipway {name} slipway_backup\n" for name in (*self.settings.onlookers, "postgres"))
        (self.folder / "pg_ident.conf").write_text(maps, encoding="utf-8")
        (self.folder / "postgresql.conf").write_text(
            f"data_directory = '{self.data}'\nhba_file = '{self.folder}/pg_hba.conf'\n"
            f"ident_file = '{self.folder}/pg_ident.conf'\n",
            encoding="utf-8",
        )

    def start(self, quick: bool) -> None:
        """Starts the server and waits until it has recovered and takes writes. quick: it is thrown away afterwards.

        Raises FailedError with the server's own last words.
        """
        self._launch({"fsync": "off", "full_page_writes": "off"} if quick else {})
        while not recovered(self.settings, self.socket, int(self.about["port"])):
            if not self.alive():
                raise FailedError(f"the restored server ended: {self.last_words()}")
            time.sleep(PAUSE)

    def reach(self, options: dict[str, str]) -> None:
        """Recovers up to the moment and ends there, on no timeline of its own: that it can be reached is proven.

        options: more settings. Raises FailedError with the server's own last words.
        """
        self._launch({**options, "recovery_target_action": "shutdown"})
        while self.alive() and not (DOWN in self._log() and not self.pid()):
            time.sleep(PAUSE)
        if REACHED not in self._log():
            raise FailedError(f"the restored server ended: {self.last_words()}")

    def _launch(self, more: dict[str, str]) -> None:
        options = {
            **OPTIONS,
            "port": str(self.about["port"]),
            "unix_socket_directories": str(self.socket),
            **more,
        }
        said = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        log = self.folder / "log"
        log.touch(mode=0o640)
        begun = subprocess.run(
            command(
                self.settings.server(), "pg_ctl", "start", "--no-wait", f"--pgdata={self.folder}", f"--log={log}",
                f"--options={said}",
            ),
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if begun.returncode != 0:
            raise FailedError(f"the restored server does not start: {shown(begun.stderr or begun.stdout)}")
        time.sleep(PAUSE)

    def pid(self) -> int:
        return pid_of(self.data)

    def alive(self) -> bool:
        """Whether the server runs, or is about to write down that it does."""
        pid = self.pid()
        if not pid:
            return not self.last_words(full=False)
        # The number may be another process's by now: its folder is the data it was started in.
        return runs_in(pid, self.data)

    def _log(self) -> str:
        try:
            return (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def last_words(self, full: bool = True) -> str:
        """The server's last FATAL or PANIC lines; full: else the last of any."""
        lines = self._log().splitlines()
        grave = [line for line in lines if "FATAL: " in line or "PANIC: " in line]
        mine = [line for line in grave if "starting up" not in line and "recovery mode" not in line
                and "not yet accepting" not in line and "shutting down" not in line]  # fmt: skip
        return (
            shown(" ".join(mine[-LAST_LINES:]))
            if mine
            else (shown(" ".join(lines[-LAST_LINES:])) if full else "")
        )

    def finish(self) -> None:
        """From here on it stays until somebody drops it."""
        (self.folder / UNFINISHED).unlink()
        files.sync(self.folder)

    def remove(self) -> None:
        """Stops the server at once, if it runs, and removes all of it. Raises FailedError when it does not end."""
        pid = self.pid()
        if pid and runs_in(pid, self.data):
            os.kill(pid, signal.SIGQUIT)
            until = time.monotonic() + STOP_SECONDS
            while runs_in(pid, self.data):
                if time.monotonic() > until:
                    raise FailedError(
                        f"The server of {self.folder} (process {pid}) does not end; it is still there."
                    )
                time.sleep(PAUSE)
        if self.folder.exists():
            # A folder that is half removed is unfinished, too.
            (self.folder / UNFINISHED).touch()
            for path in sorted(self.folder.iterdir(), key=lambda each: each.name == UNFINISHED):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            self.folder.rmdir()


def recovered(settings: Settings, socket: Path, port: int) -> bool:
    """Whether a server answers, and takes writes."""
    where = settings.server(socket, port)
    asked = ["--no-psqlrc", "--tuples-only", "--no-align", "--command=SELECT pg_is_in_recovery()", "postgres"]
    done = subprocess.run(
        command(where, "psql", *asked), env=environment(where, "restore"), capture_output=True, text=True,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.stdout.strip() == "f"


def pid_of(data: Path) -> int:
    """The process of the server of a folder, 0 when its file says none."""
    try:
        return int((data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return 0


def runs_in(pid: int, data: Path) -> bool:
    """Whether that process is the server of the folder: the number may be another one's by now."""
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(data)
    except OSError:
        return False


def all_of(settings: Settings) -> list[Side]:
    """The clusters that are there, by name."""
    return [Side(settings, path.name) for path in sorted(settings.sides.iterdir()) if path.is_dir()]


def sweep(settings: Settings) -> list[str]:
    """Removes what killed restores left; names it. Whoever calls holds the restores' lock."""
    gone = [each for each in all_of(settings) if (each.folder / UNFINISHED).exists() or not each.about]
    for each in gone:
        each.remove()
    return [each.name for each in gone]


def free_name(settings: Settings, name: str) -> Side:
    """A side by a name that is not taken. Raises RefusedError."""
    if not NAME.fullmatch(name):
        raise RefusedError(
            f"{name!r} is no name for a restored cluster: a small letter, then small letters, digits and _, 31 at "
            "most. Nothing was changed."
        )
    found = Side(settings, name)
    if found.folder.exists():
        raise RefusedError(
            f"The restored cluster {name} is there already ({found.about.get('target', 'unfinished')}). Nothing was "
            f"changed. Choose another name, or remove it with: fab db-restore --remove={name}"
        )
    return found
