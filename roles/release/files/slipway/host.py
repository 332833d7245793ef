"""Every name and path slipway uses on a host, in one place."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import RefusedError

PROGRAM = "/usr/local/sbin/slipway"
# [0-9], because \d also matches digits of other scripts.
RELEASE_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}")


def check_release_id(text: str) -> str:
    """Returns text when it is a release id; a path may be formed from nothing else."""
    if not RELEASE_ID.fullmatch(text):
        raise RefusedError(
            "release-id",
            f"{text!r} is not a release id; one looks like 20261122T160501Z-3f2a9c1.",
            "`slipway list` shows those on this host.",
        )
    return text


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


@dataclass(frozen=True)
class Host:
    """Where things are. app: the service's name. root is `/` on a host; tests give a directory and commands of their
    own."""

    app: str
    root: Path = Path("/")
    systemctl: str = "/usr/bin/systemctl"
    systemd_run: str = "/usr/bin/systemd-run"
    systemd_analyze: str = "/usr/bin/systemd-analyze"
    journalctl: str = "/usr/bin/journalctl"
    nft: str = "/usr/sbin/nft"
    ssh_keygen: str = "/usr/bin/ssh-keygen"
    # How a timer calls slipway again.
    program: tuple[str, ...] = (PROGRAM,)
    python: str = sys.executable
    free_bytes: Callable[[Path], int] = _free_bytes

    @classmethod
    def of_this_machine(cls, app: str) -> Host:
        """Where a service is on the machine that this runs on."""
        return cls(app, program=(PROGRAM, f"--app={app}"))

    @property
    def namespace(self) -> str:
        """What a signature has to be for: one for anything else, such as another service's bundle, is none."""
        return f"slipway-bundle@{self.app}"

    def timer(self, release: str) -> str:
        """The timer that ends a release's warm time, * for all; its service is slipway itself."""
        return f"{self.app}-warm-{release}.timer"

    def path(self, absolute: str) -> Path:
        return self.root / absolute.lstrip("/")

    @property
    def releases(self) -> Path:
        return self.path(f"/srv/{self.app}/releases")

    @property
    def current(self) -> Path:
        return self.path(f"/srv/{self.app}/current")

    @property
    def state(self) -> Path:
        return self.path(f"/var/lib/slipway/{self.app}")

    @property
    def journal(self) -> Path:
        return self.state / "journal.jsonl"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def fence(self) -> Path:
        return self.state / "fence"

    @property
    def lease(self) -> Path:
        return self.state / "lease.json"

    @property
    def lease_lock(self) -> Path:
        return self.state / "lease.lock"

    @property
    def runtime(self) -> Path:
        """What a reboot takes with it: which release is warm, whether this host is drained."""
        return self.path(f"/run/slipway/{self.app}")

    @property
    def warm(self) -> Path:
        return self.runtime / "warm.json"

    @property
    def drained(self) -> Path:
        return self.runtime / "drained"

    @property
    def drain_table(self) -> str:
        """The kernel's rule of a drained host: nftables' table, in the family inet."""
        return f"slipway_{self.app}"

    @property
    def maintenance(self) -> Path:
        """nginx looks for this file; its answer is in maintenance.json beside it."""
        return self.path(f"/srv/{self.app}/maintenance")

    @property
    def private_server(self) -> Path:
        """nginx's server for the edge, where there is one."""
        return self.path(f"/etc/nginx/conf.d/{self.app}-private.conf")

    @property
    def settings(self) -> Path:
        """What the role release says of the service on this host."""
        return self.path(f"/etc/slipway/{self.app}/release.conf")

    @property
    def allowed_signers(self) -> Path:
        """Who may sign bundles, as ssh-keygen reads it."""
        return self.path(f"/etc/slipway/{self.app}/allowed_signers")

    @property
    def access_log(self) -> Path:
        return self.path("/var/log/nginx/access.log")

    @property
    def backfill_lock(self) -> Path:
        return self.state / "backfill.lock"

    @property
    def exec_lock(self) -> Path:
        return self.state / "exec.lock"

    @property
    def build_unit(self) -> str:
        return f"{self.app}-build.service"

    @property
    def service_unit(self) -> Path:
        """The unit of every instance, as the role app wrote it."""
        return self.path(f"/etc/systemd/system/{self.app}@.service")

    def credential(self, name: str) -> Path:
        """A secret of the service."""
        return self.path(f"/etc/{self.app}/credentials/{name}")

    def console(self, release: str) -> Path:
        """The service's own program."""
        return self.release(release) / f"venv/bin/{self.app}"

    @property
    def incoming(self) -> Path:
        return self.state / "incoming"

    @property
    def staging(self) -> Path:
        return self.path(f"/srv/{self.app}/staging")

    @property
    def environments(self) -> Path:
        """What releases with the same lock share."""
        return self.path(f"/srv/{self.app}/environments")

    @property
    def wheels(self) -> Path:
        """The wheels that releases here were built of, each by its checksum."""
        return self.path(f"/srv/{self.app}/wheels")

    def release(self, release: str) -> Path:
        return self.releases / check_release_id(release)

    def runtime_socket(self, release: str, name: str = "http.sock") -> Path:
        return self.path(f"/run/{self.app}/{check_release_id(release)}/{name}")

    def unit(self, release: str) -> str:
        return f"{self.app}@{check_release_id(release)}.service"

    def boot_link(self, unit: str) -> Path:
        """What makes a unit start at boot (WantedBy= in its file)."""
        return self.path(f"/etc/systemd/system/multi-user.target.wants/{unit}")

    def migration_unit(self, release: str) -> str:
        return f"{self.app}-migrate@{check_release_id(release)}.service"

    @property
    def migration_units(self) -> str:
        """Those of all releases, as systemctl takes a pattern."""
        return f"{self.app}-migrate@*.service"

    def migration_settings(self, release: str) -> Path:
        """What the next migration of a release is told beside the settings; the unit reads it."""
        return self.runtime / f"migrate-{check_release_id(release)}.env"

    def backfill_unit(self, release: str, kind: str = "") -> str:
        """kind: empty for the unit of a run, -ask for that of a question or a pause."""
        return f"{self.app}-backfill{kind}@{check_release_id(release)}.service"

    def backfill_settings(self, release: str, kind: str = "") -> Path:
        """What that unit is told."""
        return self.runtime / f"backfill{kind}-{check_release_id(release)}.env"

    def available_memory(self) -> int | None:
        """Bytes that the kernel could still give, by its own reckoning; None where it does not say."""
        try:
            lines = self.path("/proc/meminfo").read_text().splitlines()
        except OSError:
            return None
        found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
        return int(found[0]) * 1024 if found else None

    def machine(self) -> str:
        return os.uname().machine

    def ensure_layout(self) -> None:
        """Creates the directories slipway owns; existing ones are left as they are."""
        for directory, mode in (
            (self.releases, 0o755),
            (self.state, 0o750),
            (self.incoming, 0o700),
            (self.staging, 0o700),
            (self.environments, 0o755),
            (self.wheels, 0o700),
            (self.runtime, 0o755),
        ):
            if not directory.is_dir():
                directory.mkdir(parents=True, exist_ok=True)
                directory.chmod(mode)
