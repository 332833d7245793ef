"""A cluster of the two: where it listens, how it is begun, ended, made and removed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from database_backup import files
from database_backup.errors import FailedError
from database_backup.server import Session, shown
from database_backup.upgrade.settings import DEBIAN, Settings, Side

# Read after the role's own file, so that it wins; the role knows nothing of it.
PARKED = "zz-slipway-upgrade.conf"
PARKING = """# Slipway's, while an upgrade is prepared: this cluster does not serve. `fab db-upgrade` removes it.
port = {port}
listen_addresses = ''
archive_command = '/bin/true'
shared_buffers = '{buffers}'
wal_writer_delay = 10ms
"""
BUFFERS = "128MB"
NAMED = re.compile(r"^[ \t]*cluster_name[ \t]*=.*$", re.MULTILINE)
START_SECONDS = "300"
# Which units a boot starts because the role said so.
WANTED = Path("/etc/systemd/system/multi-user.target.wants")


class Cluster:
    """One of the two, by its version."""

    def __init__(self, settings: Settings, side: Side) -> None:
        self.settings, self.side = settings, side
        self.parking = side.conf / "conf.d" / PARKED

    def __str__(self) -> str:
        return f"{self.side.version}/{self.settings.cluster}"

    @property
    def port(self) -> int:
        """Where it listens, or will when it is begun."""
        return self.settings.spare if self.parking.exists() else self.settings.port

    def session(self, database: str = "postgres") -> Session:
        """One psql that stays, as the superuser."""
        return Session(self.settings.server(self.port), database, "upgrade")

    @property
    def there(self) -> bool:
        return (self.side.data / "PG_VERSION").exists() or (self.side.conf / "postgresql.conf").exists()

    @property
    def runs(self) -> bool:
        try:
            pid = int((self.side.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
            return os.readlink(f"/proc/{pid}/cwd") == str(self.side.data)
        except (OSError, ValueError):
            return False

    @property
    def answers(self) -> bool:
        try:
            with self.session():
                return True
        except FailedError:
            return False

    def park(self, parked: bool) -> None:
        """From its next start on it listens on the spare port, or on the service's."""
        if parked:
            text = PARKING.format(port=self.settings.spare, buffers=BUFFERS)
            self.write(self.parking, text, self.side.conf)
        else:
            self.parking.unlink(missing_ok=True)
        files.sync(self.parking.parent)

    def begin_starting(self) -> subprocess.Popen[str]:
        """Begins to start it; `ended` waits for that."""
        return self._begin("start")

    def begin_stopping(self) -> subprocess.Popen[str]:
        return self._begin("stop")

    def start(self) -> None:
        """Starts it where it does not run. Raises FailedError with its own last words."""
        if not self.runs:
            self.ended(self.begin_starting(), "start")

    def stop(self) -> None:
        if self.runs:
            self.ended(self.begin_stopping(), "stop")

    def ended(self, begun: subprocess.Popen[str], doing: str) -> None:
        """Raises FailedError when it did not go well."""
        _, said = begun.communicate()
        if begun.returncode != 0:
            raise FailedError(f"{self} does not {doing}: {shown(f'{said} {self._last_words()}')}")

    @property
    def _unit(self) -> str:
        return f"postgresql@{self.side.version}-{self.settings.cluster}.service"

    def _begin(self, doing: str) -> subprocess.Popen[str]:
        words = ["/usr/bin/systemctl", doing, self._unit]
        if self.settings.control != DEBIAN:
            how = ["-l", str(self._log)] if doing == "start" else ["-m", "fast"]
            program = str(self.side.programs / "pg_ctl")
            words = self._as_owner(program, doing, "-w", "-t", START_SECONDS, "-D", str(self.side.conf), *how)
        # Into no pipe: the server would keep its end open.
        return subprocess.Popen(
            words, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def _as_owner(self, *words: str) -> list[str]:
        account = self.settings.account
        return [*as_account(account), *words]

    @property
    def _log(self) -> Path:
        name = f"postgresql-{self.side.version}-{self.settings.cluster}.log"
        return (
            Path("/var/log/postgresql") / name
            if self.settings.control == DEBIAN
            else self.side.data.parent / name
        )

    def _last_words(self) -> str:
        try:
            with open(
                os.open(self._log, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8", errors="replace"
            ) as log:
                lines = log.read().splitlines()[-40:]
        except OSError:
            return ""
        return " ".join([line for line in lines if "FATAL:" in line or "PANIC:" in line][-3:] or lines[-3:])

    def create(self, like: Cluster, locale: str, encoding: str) -> None:
        """Makes an empty one with the other's settings and access rules, parked. Raises FailedError."""
        if self.settings.control == DEBIAN:
            self._run(
                "/usr/bin/pg_createcluster", self.side.version, self.settings.cluster, f"--port={self.settings.spare}",
                f"--locale={locale}", f"--encoding={encoding}", "--", "--data-checksums",
            )  # fmt: skip
        else:
            self.initialize(locale, encoding)
        self._make_folder()
        rules = [like.side.conf / name for name in ("pg_hba.conf", "pg_ident.conf")]
        settings = [
            path for path in sorted((like.side.conf / "conf.d").glob("*.conf")) if path.name != PARKED
        ]
        for source in (*rules, *settings):
            text = source.read_text(encoding="utf-8")
            target = self.side.conf / source.relative_to(like.side.conf)
            self.write(target, NAMED.sub(f"cluster_name = '{self}'", text), source)
        self.park(True)

    def initialize(self, locale: str, encoding: str) -> None:
        """An empty cluster of no package's, which reads the folder conf.d beside its rows."""
        self._run(
            str(self.side.programs / "initdb"), "--pgdata", str(self.side.data), "--username=postgres",
            f"--locale={locale}", f"--encoding={encoding}", "--data-checksums", "--no-sync", "--auth=trust",
        )  # fmt: skip
        conf = self.side.conf / "postgresql.conf"
        self.write(conf, f"{conf.read_text(encoding='utf-8')}include_dir = 'conf.d'\n", conf)

    def configure(self, name: str, text: str) -> None:
        """Writes a file of settings."""
        self._make_folder()
        self.write(self.side.conf / "conf.d" / name, text, self.side.conf)

    def _make_folder(self) -> None:
        folder, about = self.side.conf / "conf.d", self.side.conf.stat()
        if not folder.is_dir():
            folder.mkdir(mode=0o755)
            if os.geteuid() == 0:
                os.chown(folder, about.st_uid, about.st_gid)

    def remove(self) -> None:
        """Stops it and removes all of it."""
        self.stop()
        if self.settings.control == DEBIAN:
            # Else the next boot would start what is gone.
            if os.path.lexists(WANTED / self._unit):
                self._run("/usr/bin/systemctl", "disable", self._unit)
            if self.there:
                self._run("/usr/bin/pg_dropcluster", self.side.version, self.settings.cluster)
            # What it does not know it leaves, and a next one would read it.
            shutil.rmtree(self.side.conf, ignore_errors=True)
        if self.side.data.exists():
            shutil.rmtree(self.side.data)

    def _run(self, *words: str) -> None:
        root = words[0].startswith("/usr/bin/")
        done = subprocess.run(
            list(words) if root else self._as_owner(*words), cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        if done.returncode != 0:
            raise FailedError(
                f"{Path(words[0]).name} ended with status {done.returncode}: {shown(done.stderr)}"
            )

    def write(self, path: Path, text: str, like: Path) -> None:
        """A whole file, with the owner of what it is like; its folder may belong to a user who is not root."""
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        about = like.stat()
        mode = 0o644 if like.is_dir() else about.st_mode & 0o777
        # A name that somebody else put there is not followed.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, text.encode())
            os.fchmod(descriptor, mode)
            if os.geteuid() == 0:
                os.fchown(descriptor, about.st_uid, about.st_gid)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.replace(path)


def as_account(account: str) -> Sequence[str]:
    """The words before a command that another user has to run; none where we are that user."""
    if not account:
        return ()
    return ("/usr/bin/setpriv", f"--reuid={account}", f"--regid={account}", "--init-groups", "--")


def both(settings: Settings) -> dict[str, Cluster]:
    """The two, by version."""
    return {side.version: Cluster(settings, side) for side in (settings.old, settings.new)}
