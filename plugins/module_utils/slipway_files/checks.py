"""Run the daemons' own checkers on the set before it goes live.

The new files are laid over /etc and the folder of our own programs by read-only overlays in a private mount
namespace, so a checker sees the host exactly as it will be, while every other process sees it as it is.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from typing import Any

from ansible.module_utils.slipway_files.compare import Difference
from ansible.module_utils.slipway_files.errors import HostFilesError
from ansible.module_utils.slipway_files.write import original

SECONDS = 60
# What a check may see: settings, and a checker of ours that comes with them.
OVERLAID = ("/etc", "/usr/local/lib/slipway")
OVERLAY = """
for folder in /etc /usr/local/lib/slipway; do
  if [ -d "$0$folder" ] && [ -d "$folder" ]; then
    mount -t overlay overlay -o "ro,lowerdir=$0$folder:$folder" "$folder" || exit
  fi
done
touch "$0/laid-out"
exec "$@"
"""
APART = ("unshare", "--mount", "--propagation", "private", "sh", "-c", OVERLAY)


def run(wanted: list[dict[str, Any]], difference: Difference) -> list[str]:
    """Run every check that can run; return a sentence for each that cannot yet. Raises with the checker's words."""
    unchecked = []
    ready = []
    for check in wanted:
        will_exist = {change.path for change in difference.changes}
        missing = [
            path for path in check.get("needs", []) if not os.path.exists(path) and path not in will_exist
        ]
        if missing:
            unchecked.append(
                f"{' '.join(check['argv'])} was not run: {', '.join(missing)} does not exist yet."
            )
        else:
            ready.append(check)
    if ready:
        staging = tempfile.mkdtemp(prefix="slipway-check-")
        try:
            try:
                _stage(staging, difference)
            except OSError as error:
                raise HostFilesError(
                    f"The new files could not be laid out in {staging} to be checked: {error.strerror}. "
                    "Nothing was changed on this host; make room there and run again."
                ) from error
            for check in ready:
                _check(check["argv"], staging)
        finally:
            shutil.rmtree(staging)
    return unchecked


def _stage(staging: str, difference: Difference) -> None:
    os.chmod(staging, 0o755)
    os.mkdir(os.path.join(staging, "etc"), 0o755)
    for change in difference.changes:
        if not _overlaid(change.path):
            continue
        target = staging + change.path
        if change.kind == "directory":
            _parents(staging, change.path)
            os.makedirs(target, exist_ok=True)
        elif change.kind == "link":
            _parents(staging, os.path.dirname(change.path))
            os.symlink(change.content.decode(), target)
        else:
            _parents(staging, os.path.dirname(change.path))
            # Nobody else's until it has its owner and mode: it may be a secret.
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(change.content)
        if change.kind != "link":
            if change.owner >= 0 and change.group >= 0:
                os.chown(target, change.owner, change.group)
            os.chmod(target, change.mode)
    for path in difference.removed:
        if _overlaid(path):
            _parents(staging, os.path.dirname(path))
            if os.path.lexists(original(path)):
                shutil.copy2(original(path), staging + path, follow_symlinks=False)
            else:
                # How an overlay says that a file of the layer below is gone.
                os.mknod(staging + path, stat.S_IFCHR | 0o000, os.makedev(0, 0))


def _overlaid(path: str) -> bool:
    return any(path.startswith(folder + "/") for folder in OVERLAID)


def _parents(staging: str, folder: str) -> None:
    """Make `folder` below staging with the modes the real one has: the overlay shows the topmost directory's."""
    current = ""
    for part in folder.strip("/").split("/"):
        current += "/" + part
        target = staging + current
        if os.path.isdir(target):
            continue
        os.mkdir(target, 0o755)
        if os.path.isdir(current):
            shutil.copystat(current, target)
            found = os.stat(current)
            os.chown(target, found.st_uid, found.st_gid)


def _check(argv: list[str], staging: str) -> None:
    laid_out = os.path.join(staging, "laid-out")
    if os.path.exists(laid_out):
        os.unlink(laid_out)
    status, said = _run(argv, [*APART, staging, *argv])
    if status == 0:
        return
    if not os.path.exists(laid_out):
        raise HostFilesError(
            f"No private view of /etc could be made, so nothing has checked the new files: {said}\nNothing was changed "
            "on this host. Allow root mounts and the kernel module overlay here, and run again."
        )
    # A checker may judge more than our files: whoever is at fault is to be named.
    status, before = _run(argv, argv) if shutil.which(argv[0]) else (0, "")
    if status != 0:
        raise HostFilesError(
            f"{' '.join(argv)} refuses the new files, as it refuses what stands on this host without them. Nothing was "
            f"changed on this host; mend first what it says of what stands, and run again. It said:\n{before}"
            + (f"\nOf the new files it said:\n{said}" if said != before else "")
        )
    raise HostFilesError(
        f"{' '.join(argv)} refuses the new files. Nothing was changed on this host; "
        f"mend the inventory or the template and run again. It said:\n{said}"
    )


def _run(argv: list[str], command: list[str]) -> tuple[int, str]:
    """The exit status of a check and what it said, run as `command`."""
    try:
        outcome = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise HostFilesError(
            f"{' '.join(argv)} did not answer within {SECONDS} s. Nothing was changed on this host."
        ) from None
    return outcome.returncode, outcome.stdout.decode("utf-8", errors="replace").strip()
