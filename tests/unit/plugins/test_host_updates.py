"""What waits for a patch on a host is told as it is, and installed so that nobody has to watch it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.plugins.test_postgresql_harness import load_module

host_updates = load_module("host_updates")
from ansible.module_utils.slipway_updates import installing, libraries, restarting, waiting  # noqa: E402  after it is found

SIMULATED = """\
Reading package lists...
The following packages have been kept back:
  base-files libc6
  linux-generic
The following packages will be upgraded:
  libssl3 postgresql-14
Inst libssl3 [3.0.2-0ubuntu1.15] (3.0.2-0ubuntu1.16 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64])
Inst linux-image-5.15.0-200-generic (5.15.0-200.210 Ubuntu:22.04/jammy-security [amd64])
Inst postgresql-14 [14.22-0ubuntu0.22.04.1] (14.23-0ubuntu0.22.04.1 Ubuntu:22.04/jammy-updates [amd64]) []
Conf libssl3 (3.0.2-0ubuntu1.16 Ubuntu:22.04/jammy-updates [amd64])
"""


def test_updates_new_packages_and_what_is_kept_back_are_told_apart() -> None:
    found = waiting.updates(SIMULATED)
    assert [(row["name"], row["before"], row["after"]) for row in found] == [
        ("libssl3", "3.0.2-0ubuntu1.15", "3.0.2-0ubuntu1.16"),
        ("linux-image-5.15.0-200-generic", "", "5.15.0-200.210"),
        ("postgresql-14", "14.22-0ubuntu0.22.04.1", "14.23-0ubuntu0.22.04.1"),
    ]
    assert waiting.kept_back(SIMULATED) == ["base-files", "libc6", "linux-generic"]
    assert waiting.kept_back("Reading package lists...\n") == []


def test_a_reboot_is_told_with_its_packages_and_without(tmp_path: Path) -> None:
    flag = tmp_path / "reboot-required"
    assert waiting.reboot(str(flag)) == []
    flag.touch()
    assert waiting.reboot(str(flag)) == ["a package that does not say"]
    Path(f"{flag}.pkgs").write_text("linux-base\nlibc6\nlinux-base\n")
    assert waiting.reboot(str(flag)) == ["libc6", "linux-base"]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A process, and the library that it has loaded from a folder of libraries."""
    library = tmp_path / "lib/libprobe.so.1"
    library.parent.mkdir()
    loaded = Path("/proc/self/maps").read_text().splitlines()
    shutil.copy(next(line.split()[-1] for line in loaded if "/libc.so.6" in line), library)
    loading = f"import ctypes, time; ctypes.CDLL({str(library)!r}); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", loading], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    yield process.pid, library
    process.kill()
    process.communicate()


def test_a_process_that_runs_a_replaced_library_is_found(
    running: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, library = running
    monkeypatch.setattr(libraries, "LIBRARY", libraries.re.compile(rf"^{library}$"))
    assert libraries.replaced(f"/proc/{pid}") == set()
    newer = library.with_suffix(".new")
    shutil.copy(library, newer)
    newer.replace(library)
    assert libraries.replaced(f"/proc/{pid}") == {str(library)}


def test_libraries_are_told_from_what_programs_remove_themselves() -> None:
    taken = [path for path in (
        "/usr/lib/x86_64-linux-gnu/libssl.so.3", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/libz.so.1.2.11",
        "/dev/zero", "/memfd:x", "/tmp/libprobe.so", "/SYSV00000000", "/usr/share/app/data.db",
    ) if libraries.LIBRARY.match(path)]  # fmt: skip
    assert [path.rpartition("/")[2] for path in taken] == ["libssl.so.3", "libc.so.6", "libz.so.1.2.11"]


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/nginx.service", "nginx.service"),
        ("0::/system.slice/system-postgresql.slice/postgresql@14-main.service", "postgresql@14-main.service"),
        ("0::/init.scope", "init.scope"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/dbus.service", ""),
        ("0::/user.slice/user-0.slice/session-4.scope", ""),
    ],
)
def test_a_process_is_known_by_its_unit_and_a_login_is_none(tmp_path: Path, cgroup: str, unit: str) -> None:
    (tmp_path / "cgroup").write_text(f"{cgroup}\n")
    assert libraries.unit_of(str(tmp_path)) == unit


def test_who_is_started_anew_at_once_and_who_is_waited_for() -> None:
    units = ["cron.service", "dbus.service", "init.scope", "nginx.service", "postgresql@14-main.service"]
    units += ["shop@20261122T100000Z-aaaaaaa.service", "shop-process@1:mail.service", "stall@1.service"]
    assert restarting.sorted_out({unit: [] for unit in units}, "shop") == {
        "at-once": ["cron.service", "init.scope"],
        "nginx": ["nginx.service"],
        "release": ["shop-process@1:mail.service", "shop@20261122T100000Z-aaaaaaa.service"],
        "database": ["postgresql@14-main.service"],
        "left": ["dbus.service", "stall@1.service"],
    }


def test_what_somebody_changed_stays_and_nothing_is_asked() -> None:
    text = installing.script(["libssl3", "openssl"], 600, unfinished=False)
    assert "dpkg " not in text
    assert text.endswith("install --only-upgrade libssl3 openssl")
    for word in ("--no-remove", "--force-confold", "--force-confdef", "DPkg::Lock::Timeout=600"):
        assert word in text
    assert "DEBIAN_FRONTEND=noninteractive" in installing.ENVIRONMENT
    assert "NEEDRESTART_SUSPEND=1" in installing.ENVIRONMENT


def test_what_dpkg_left_unfinished_is_finished_first() -> None:
    lines = installing.script(["libssl3"], 600, unfinished=True).splitlines()
    assert lines[1] == "dpkg --force-confdef --force-confold --configure --pending"
    assert "--fix-broken install" in lines[2]
    assert lines[3].endswith("--only-upgrade libssl3")


def test_a_disk_that_could_fill_meanwhile_refuses_it(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    with pytest.raises(installing.InstallError, match=r"Nothing was installed\. Make room"):
        installing.require_room(free, str(tmp_path))


@pytest.mark.parametrize(
    ("simulated", "said"),
    [
        ("Remv nginx [1.18.0]\nInst libssl3 [1] (2 probe [amd64])\n", "apt would remove nginx for it"),
        (
            "Inst libpq5 [1] (2 probe [amd64])\nInst postgresql-14 [1] (2 probe [amd64])\n",
            "comes in a window alone",
        ),
    ],
)
def test_what_would_take_a_package_away_or_bring_the_databases_is_refused(
    monkeypatch: pytest.MonkeyPatch, simulated: str, said: str
) -> None:
    monkeypatch.setattr(waiting, "run", lambda *command, **options: simulated)
    with pytest.raises(installing.InstallError, match=said):
        installing.require_apart(["libpq5"], ["postgresql-14"])


def test_a_name_that_is_none_installs_nothing() -> None:
    with pytest.raises(installing.InstallError, match="no name of a package"):
        host_updates.installed({"packages": ["x; reboot"]}, False)


FAKE_NGINX = """
import os, pathlib, signal, sys, time
pid, old = map(pathlib.Path, sys.argv[1:3])
started = [None]
def upgrade(*_):
    pid.rename(old)
    if "broken" in sys.argv:
        old.rename(pid)
        return
    started[0] = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, *sys.argv])
signal.signal(signal.SIGUSR2, upgrade)
def end(*_):
    # As the old program does when it is the one that goes.
    (old if old.exists() and int(old.read_text()) == os.getpid() else pid).unlink()
    os._exit(0)
signal.signal(signal.SIGQUIT, end)
pid.write_text(f"{os.getpid()}\\n")
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which a program changes itself as nginx does, with what checks its files."""
    (tmp_path / "bin").mkdir()
    checker = tmp_path / "bin/nginx"
    checker.write_text("#!/bin/sh\n")
    checker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "nginx.py").write_text(FAKE_NGINX)
    yield tmp_path
    for name in ("pid", "pid.oldbin"):
        if (number := restarting.number(str(tmp_path / name))) and restarting.lives(number):
            os.kill(number, signal.SIGKILL)


def begin(folder: Path, *words: str) -> int:
    paths = [str(folder / "pid"), str(folder / "pid.oldbin")]
    process = subprocess.Popen([sys.executable, str(folder / "nginx.py"), *paths, *words])
    deadline = time.monotonic() + 10
    while restarting.number(paths[0]) != process.pid and time.monotonic() < deadline:
        time.sleep(0.02)
    return process.pid


def upgrade(folder: Path) -> None:
    restarting.upgrade_nginx(str(folder / "pid"), str(folder / "pid.oldbin"), seconds=3)


def test_nginx_changes_its_program_in_place(nginx: Path) -> None:
    old = begin(nginx)
    upgrade(nginx)
    new = restarting.number(str(nginx / "pid"))
    assert new not in (None, old)
    assert restarting.lives(int(new or 0))
    assert not restarting.lives(old)


def test_an_nginx_that_cannot_change_its_program_serves_on(nginx: Path) -> None:
    old = begin(nginx, "broken")
    with pytest.raises(restarting.RestartError, match="the old one serves on"):
        upgrade(nginx)
    assert restarting.lives(old)


def test_files_that_nginx_refuses_leave_it_as_it_is(nginx: Path) -> None:
    old = begin(nginx)
    (nginx / "bin/nginx").write_text("#!/bin/sh\necho bad >&2; exit 1\n")
    with pytest.raises(restarting.RestartError, match="runs on as it is: bad"):
        upgrade(nginx)
    assert restarting.number(str(nginx / "pid")) == old


def test_a_change_that_was_cut_off_is_ended(nginx: Path) -> None:
    old = begin(nginx)
    os.kill(old, signal.SIGUSR2)
    deadline = time.monotonic() + 10
    while restarting.number(str(nginx / "pid")) in (None, old) and time.monotonic() < deadline:
        time.sleep(0.02)
    new = restarting.number(str(nginx / "pid"))
    upgrade(nginx)
    assert (restarting.number(str(nginx / "pid")), restarting.lives(old)) == (new, False)
