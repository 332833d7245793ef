"""A change of the way in (sshd, sudo, the firewall) goes by itself unless a second login proves it.

What stands is kept beside each file and a timer of the host's own is started before the first file changes. The login
by which the controller comes anew takes the timer away (confirm); without it the timer, or a boot, gives back what
stood, the set's record too, and says so (proofs.py). One change of a host is armed at a time.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import shlex
import subprocess
from collections.abc import Iterator

from ansible.module_utils.slipway_files.errors import HostFilesError
from ansible.module_utils.slipway_files.proofs import FOLDER, armed, proven
from ansible.module_utils.slipway_files.write import copy_of

LOCK = "/run/slipway-guard.lock"
UNITS = "/etc/systemd/system"
UNIT = "slipway-guard"
# The proof takes two, on a slow line ten; a controller that is gone is noticed in less than a minute.
SECONDS = 45
APPLY_SECONDS = 30
SUFFIX = ".slipway-before"
BOOT_UNIT = """# Written by Slipway while a change of the way in waits for its proof; it goes with it.
[Unit]
Description=Take back a change of the way in that no login has proven
DefaultDependencies=no
RequiresMountsFor={folder}
After=local-fs.target
Before=sysinit.target network-pre.target slipway-firewall.service ssh.service systemd-sysctl.service
ConditionPathExists={folder}/armed.json

[Service]
Type=oneshot
ExecStart=/bin/sh {folder}/take-back boot
"""
# $1: boot, where daemons are yet to start. A rename needs no room on a full disk.
SCRIPT = """# Written by Slipway: gives back what stood before a change that no login has proven.
exec 9>{lock}
flock 9
grep -qsF {token} {folder}/armed.json || exit 0
{restore}
rm -f {boot_unit} {boot_link}
touch {folder}/armed.json
mv -f {folder}/armed.json {folder}/taken-back.json
[ "$1" = boot ] && exit 0
{undo}
"""


def refuse_beside(name: str) -> None:
    """Raise HostFilesError while another run's change of the way in waits for its proof."""
    found = armed()
    if found is not None and not _timer_runs():
        # The timer's own run died: what it did not end is ended here.
        take_back(found["token"])
        found = armed()
    if found is not None:
        raise HostFilesError(
            f"A change of the set {found['set']} (of {found['app']}, armed {found['at']}) waits for its proof, and is "
            f"decided {found['seconds']} s later at the latest. Nothing of the set {name} was changed; run again then."
        )


def arm(app: str, name: str, token: str, paths: list[str], made: list[str], undo: list[list[str]]) -> None:
    """Keep what stands at the paths, and start the timer that gives it back. Raises; then nothing is armed.

    made: what is to be removed with it, since it would not be there but for this change.
    """
    about = {
        "token": token,
        "set": name,
        "app": app,
        "seconds": SECONDS,
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    kept: list[str] = []
    try:
        os.makedirs(FOLDER, mode=0o700, exist_ok=True)
        restore = []
        for path in paths:
            if os.path.lexists(path):
                kept.append(_before(path))
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(kept[-1])
                copy_of(path, kept[-1])
                restore.append(f"mv -fT {shlex.quote(kept[-1])} {shlex.quote(path)}")
            else:
                restore.append(f"rm -f {shlex.quote(path)}")
        restore += [f"rm -f {shlex.quote(path)}" for path in made]
        _write(f"{FOLDER}/take-back", _script(token, restore, undo))
        os.makedirs(f"{UNITS}/sysinit.target.wants", exist_ok=True)
        _write(f"{UNITS}/{UNIT}-boot.service", BOOT_UNIT.format(folder=FOLDER))
        with contextlib.suppress(FileExistsError):
            os.symlink(f"{UNITS}/{UNIT}-boot.service", _boot_link())
        _write(f"{FOLDER}/armed.json", json.dumps({**about, "kept": kept}))
        _start_timer()
    except (OSError, HostFilesError) as error:
        _forget(kept)
        raise HostFilesError(
            f"The change of the set {name} could not be guarded: {error}. Nothing of it was changed on this host; mend "
            "that and run again."
        ) from error


@contextlib.contextmanager
def holding() -> Iterator[None]:
    """Keep the timer from taking back what is being written; a process that dies lets go."""
    with open(LOCK, "w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def given_back_unless_done(token: str) -> Iterator[None]:
    """Hold the timer off while an armed change is made; when making it fails, give back what stood, and raise."""
    if not token:
        yield
        return
    try:
        with holding():
            yield
    except BaseException:
        take_back(token)
        raise


def apply(commands: list[list[str]]) -> str:
    """Put in force what was written; what a command said when it failed, empty when all went well."""
    for command in commands:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=APPLY_SECONDS, check=False, text=True, errors="replace",
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{' '.join(command)}: {error}"
        if done.returncode != 0:
            return f"{' '.join(command)} ended with status {done.returncode}: {done.stdout.strip()}"
    return ""


def confirm(token: str) -> bool:
    """Whether the change of this token still stands; from now on it stays. Called by the login that proves it.

    It says so again to whom the answer did not reach: the record of what was armed becomes that of what was proven.
    """
    with holding():
        found = armed()
        if found is not None and found["token"] == token:
            os.rename(f"{FOLDER}/armed.json", f"{FOLDER}/proven.json")
        stays = proven()
        if stays is None or stays["token"] != token:
            return False
        if armed() is None:
            _forget(stays["kept"])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{FOLDER}/taken-back.json")
    return True


def take_back(token: str) -> bool:
    """Give back at once what stood before the change of this token; whether it was this call that did."""
    found = armed()
    if found is None or found["token"] != token:
        return False
    done = subprocess.run(
        ["/bin/sh", f"{FOLDER}/take-back", "now"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    _stop_timer()
    return done.returncode == 0


def _script(token: str, restore: list[str], undo: list[list[str]]) -> str:
    return SCRIPT.format(
        lock=LOCK,
        folder=FOLDER,
        token=shlex.quote(token),
        restore="\n".join(restore),
        boot_unit=f"{UNITS}/{UNIT}-boot.service",
        boot_link=_boot_link(),
        undo="\n".join(shlex.join(command) for command in undo),
    )


def _start_timer() -> None:
    done = subprocess.run(
        ["systemd-run", "--quiet", "--collect", f"--unit={UNIT}", f"--on-active={SECONDS}",
         "--timer-property=AccuracySec=100ms", "/bin/sh", f"{FOLDER}/take-back", "timer"],
        stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True, timeout=APPLY_SECONDS,
    )  # fmt: skip
    if done.returncode != 0:
        raise HostFilesError(f"systemd-run starts no timer ({done.stderr.strip()})")


def _timer_runs() -> bool:
    units = [f"{UNIT}.timer", f"{UNIT}.service"]
    done = subprocess.run(["systemctl", "is-active", *units], capture_output=True, check=False, text=True)
    return any(state in ("active", "activating") for state in done.stdout.split())


def _stop_timer() -> None:
    subprocess.run(
        ["systemctl", "stop", f"{UNIT}.timer"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )


def _forget(kept: list[str]) -> None:
    _stop_timer()
    boot = [_boot_link(), f"{UNITS}/{UNIT}-boot.service"]
    for path in [f"{FOLDER}/armed.json", f"{FOLDER}/take-back", *boot, *kept]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _boot_link() -> str:
    return f"{UNITS}/sysinit.target.wants/{UNIT}-boot.service"


def _before(path: str) -> str:
    """Beside the file, so that giving it back is a rename; daemons' patterns skip a leading dot."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{SUFFIX}")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
