"""A small systemd for the unit tests: real processes behind systemctl's and journalctl's words.

Usage: NAME FOLDER ARGUMENTS...; NAME is systemctl, systemd-run, systemd-analyze, journalctl or python. FOLDER/units
holds a unit's state, FOLDER/logs what it said, and FOLDER/../host is the host's root. A release behaves as its file
says.
"""

from __future__ import annotations

import fnmatch
import json
import os
import py_compile
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Units:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder.parent / "host"

    def load(self, unit: str) -> dict[str, Any]:
        path = self.folder / "units" / f"{unit}.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def save(self, unit: str, **changes: Any) -> None:
        path = self.folder / "units" / f"{unit}.json"
        path.with_suffix(".next").write_text(json.dumps({**self.load(unit), **changes}))
        path.with_suffix(".next").rename(path)

    def boot(self, unit: str, starts: bool) -> None:
        link = self.root / "etc/systemd/system/multi-user.target.wants" / unit
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        if starts:
            link.symlink_to("/etc/systemd/system/shop@.service")
        self.save(unit, enabled=starts)

    def release(self, unit: str) -> str:
        return unit.partition("@")[2].removesuffix(".service").partition(":")[0]

    def behaviour(self, unit: str, name: str = "behaviour") -> str:
        path = self.root / "srv/shop/releases" / self.release(unit) / name
        return path.read_text() if path.exists() else "ready"

    def named(self, names: list[str]) -> list[str]:
        known = [path.stem for path in sorted((self.folder / "units").glob("*.json"))]
        found: list[str] = []
        for name in names:
            found += fnmatch.filter(known, name) if "*" in name else [name]
        return list(dict.fromkeys(found))

    def show(self, names: list[str]) -> str:
        return "\n".join(self.describe(unit) for unit in self.named(names))

    def describe(self, unit: str) -> str:
        state = self.load(unit)
        running = alive(state.get("pid")) or state.get("waiting", False)
        ended = "failed" if state.get("pid") or state.get("result", "success") != "success" else "inactive"
        lines = {
            "Id": unit,
            "ActiveState": "active" if running else ended,
            "SubState": "running" if running else "dead",
            "Result": "exit-code" if state.get("pid") and not running else state.get("result", "success"),
            "NRestarts": "0",
            "ExecMainStatus": str(state.get("status", 1)) if ended == "failed" and not running else "0",
            "MemoryCurrent": "300000000" if running else "[not set]",
            "MemoryMax": str(1 << 30) if unit.startswith("shop@") else "infinity",
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def start(self, unit: str) -> int:
        if alive(self.load(unit).get("pid")):
            return 0
        log = self.folder / "logs" / unit
        if unit.startswith("shop-migrate@"):
            return self.migrate(unit, log)
        if unit.startswith("shop-backfill"):
            return self.backfill(unit, log)
        if unit.startswith("slipway-metrics-"):
            self.save(unit, result="success")
            return 0
        if unit.endswith(".timer"):
            self.save(unit, waiting=(self.root / "etc/systemd/system" / unit).exists())
            return 0
        if unit.startswith("shop-process@"):
            return self.process(unit, log)
        behaviour, _, status = self.behaviour(unit).partition(" ")
        if behaviour == "ends":
            self.save(unit, result="exit-code", status=int(status))
            return 1
        socket = self.root / "run/shop" / self.release(unit) / "http.sock"
        self.save(unit, pid=spawn(log, serve, str(socket), self.release(unit), self.behaviour(unit)))
        return 0

    def process(self, unit: str, log: Path) -> int:
        """One that is not the live release's ends at once, as its unit has it; two releases' at once are noted."""
        release = self.release(unit)
        if os.readlink(self.root / "srv/shop/current") != f"releases/{release}":
            return 0
        for other in self.named(["shop-process@*"]):
            if self.release(other) != release and alive(self.load(other).get("pid")):
                (self.folder / "two-at-once").write_text(f"{unit} beside {other}")
        behaviour = self.behaviour(unit, "process")
        pid = spawn(log, work, behaviour)
        while behaviour == "crash" and alive(pid):
            time.sleep(0.01)
        self.save(unit, pid=pid)
        return 0

    def migrate(self, unit: str, log: Path) -> int:
        behaviour = self.behaviour(unit, "migration")
        if behaviour == "slow":
            time.sleep(30)
        failed = behaviour == "fail"
        origin = "0002" if behaviour == "nothing" else "0001"
        said = (
            'relation "products" is locked\n' if failed else json.dumps({"from": origin, "to": "0002"}) + "\n"
        )
        log.write_text(f"migrating\n{said}")
        self.save(unit, result="exit-code" if failed else "success")
        return 1 if failed else 0

    def backfill(self, unit: str, log: Path) -> int:
        asked = "-ask" if unit.startswith("shop-backfill-ask@") else ""
        told = self.root / f"run/slipway/shop/backfill{asked}-{self.release(unit)}.env"
        do, *name = told.read_text().partition("=")[2].split()
        behaviour = self.behaviour(unit, "backfill")
        if behaviour == "undeclared":
            log.write_text(f"There is no backfill '{name[0]}' in this release.\n")
            self.save(unit, result="exit-code")
            return 1 if asked else 0
        if behaviour == "long" and not asked:
            log.write_text(json.dumps({"event": "backfill_progress", "rows_done": 700}) + "\n")
            self.save(unit, pid=spawn(log, copy_rows))
            return 0
        row = (
            {"name": name[0], "paused": do == "pause"}
            if name
            else {"backfills": [{"name": "a", "state": "done"}]}
        )
        log.write_text(f"{json.dumps({'event': 'begun'})}\n{json.dumps(row)}\n")
        self.save(unit, result="success")
        return 0

    def stop(self, unit: str) -> int:
        if unit.endswith(".timer"):
            self.save(unit, waiting=False)
        pid: int | None = self.load(unit).get("pid")
        if self.behaviour(unit) == "unstoppable":
            print(f"Job for {unit} timed out.")
            return 1
        if pid is not None and alive(pid):
            os.kill(pid, signal.SIGTERM)
            while alive(pid):
                time.sleep(0.01)
        self.save(unit, pid=None)
        return 0


def spawn(log: Path, program: Callable[..., int], *words: str) -> int:
    """Runs program in a process of its own that has nothing of this one's but the log; returns its number."""
    process = os.fork()
    if process:
        return process
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        stream = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for standard, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, stream), (2, stream)):
            os.dup2(source, standard)
        # The lock, above all: a unit's processes do not inherit it.
        os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
        os._exit(program(*words))
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def work(behaviour: str) -> int:
    """A further process: ready, or crash, which ends at once."""
    if behaviour == "crash":
        print("no queue of that name", flush=True)
        return 1
    while True:
        time.sleep(60)


def copy_rows() -> int:
    """A backfill that takes a minute."""
    time.sleep(60)
    return 0


def serve(*words: str) -> int:
    # `python -IS` has not this folder on its path.
    sys.path.insert(0, str(Path(__file__).parent))
    import slipway_fake_server

    return int(slipway_fake_server.main(*words))


def alive(pid: int | None) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def systemctl(units: Units, words: list[str]) -> int:
    if words == ["daemon-reload"]:
        return 0
    verb, names = words[0], words[words.index("--") + 1 :]
    if verb == "show":
        print(units.show(names))
        return 0
    if verb in ("enable", "disable"):
        units.boot(names[0], verb == "enable")
        return 0
    if verb == "reset-failed":
        for unit in units.named(names):
            units.save(unit, pid=None, result="success")
        return 0
    return max(map(units.start if verb == "start" else units.stop, names))


def systemd_run(units: Units, words: list[str]) -> int:
    """A transient timer: a process that waits, and then becomes the command. Or a command that is waited for."""
    options = dict(word.partition("=")[::2] for word in words if word.startswith("--"))
    if "--pipe" in options:
        return one_off(units, words) if options["--unit"].startswith("shop-exec-") else builder(words)
    unit = f"{options['--unit']}.timer"
    if alive(units.load(unit).get("pid")):
        print(f"Failed to start transient timer unit: Unit {unit} already exists.")
        return 1
    command = words[next(number for number, word in enumerate(words) if not word.startswith("--")) :]
    waiting = (str(units.folder), unit, options["--on-active"], *command)
    units.save(unit, pid=spawn(units.folder / "logs" / unit, timer, *waiting))
    return 0


def timer(folder: str, unit: str, seconds: str, *command: str) -> int:
    time.sleep(float(seconds))
    Units(Path(folder)).save(unit, pid=None)
    os.execv(command[0], command)


def journalctl(units: Units, words: list[str]) -> int:
    since = next((float(word.partition("@")[2]) for word in words if word.startswith("--since=@")), 0.0)
    of_unit = next((word.partition("=")[2] for word in words if word.startswith("_SYSTEMD_UNIT=")), None)
    unit = words[words.index("-u") + 1] if "-u" in words else of_unit
    log = units.folder / "logs" / unit if unit else None
    if log is not None and log.exists() and log.stat().st_mtime >= since:
        lines = log.read_text().splitlines()
        wanted = int(words[words.index("-n") + 1]) if "-n" in words else len(lines)
        # As the real one does it: with a beginning and without -r, it is the first lines that it shows.
        shown = lines[::-1][:wanted] if "-r" in words else lines[:wanted] if since else lines[-wanted:]
        print("\n".join(shown))
    return 0


def one_off(units: Units, words: list[str]) -> int:
    """A command in a unit of its own, with what of a unit a process can have."""
    unit = next(word.removeprefix("--unit=") for word in words if word.startswith("--unit="))
    given = dict(
        word.removeprefix("--property=").partition("=")[::2] for word in words if "--property=" in word
    )
    set_ = dict(each.partition("=")[::2] for each in given.get("Environment", "").split())
    command = [word.replace("$$", "$") for word in words[words.index("--") + 1 :]]
    process = subprocess.Popen(command, env={**os.environ, **set_}, start_new_session=True)
    units.save(unit, pid=process.pid)
    status = process.wait()
    units.save(unit, pid=None)
    return 255 if status < 0 else status


def builder(words: list[str]) -> int:
    """A command at a folder that is bound elsewhere: here by a link, and as the user who runs the tests."""
    values = [word.removeprefix("--setenv=").partition("=") for word in words if word.startswith("--setenv=")]
    bound = next(word.partition("=BindPaths=")[2] for word in words if "=BindPaths=" in word)
    command = words[next(number for number, word in enumerate(words) if not word.startswith("--")) :]
    source, _, target = bound.partition(":")
    os.rename(target, f"{source}.bound")
    os.symlink(source, target)
    try:
        return subprocess.run(
            command, env={**os.environ, **{name: value for name, _, value in values}}
        ).returncode
    finally:
        os.unlink(target)
        os.rename(f"{source}.bound", target)


def quick_python(words: list[str]) -> int:
    """`python -I -m venv DIR` with the pip at hand, which takes 0.1 s instead of 3; all else is Python's own."""
    pip, venv = Path(words[0]), words[1:]
    if "venv" not in venv or "--without-pip" in venv:
        return subprocess.run([sys.executable, *venv]).returncode
    subprocess.run([sys.executable, *venv, "--without-pip"], check=True)
    library = Path(venv[-1], f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/pip")
    library.mkdir()
    shown = Path(pip.resolve(), "__init__.py").read_text()
    (library / "__init__.py").write_text(f"{shown}\n__path__ = [{str(pip.resolve())!r}]\n")
    py_compile.compile(str(library / "__init__.py"))
    return 0


def main(name: str, folder: str, *words: str) -> int:
    units = Units(Path(folder))
    if name == "systemctl":
        return systemctl(units, list(words))
    if name == "systemd-run":
        return systemd_run(units, list(words))
    if name == "systemd-analyze":
        return 1 if "nonsense" in words else 0
    if name == "journalctl":
        return journalctl(units, list(words))
    return quick_python(list(words))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
