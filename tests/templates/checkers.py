"""The daemons whose checkers read the rendered files, unpacked in the lab's cache, and a view in which they run.

    python -m tests.templates.checkers install

Nothing of them is installed or started on this machine. Debian 11 stands for Ubuntu 22.04's versions, which it has
or comes before: nginx 1.18.0, rsyslog 8.2102 (for 8.2112), systemd 247 (for 249). Debian 12 has the current ones.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.lab import cache, mirror
from tests.lab.commands import require, require_root
from tests.lab.errors import LabError
from tests.lab.unpack import ARCHIVED, MERGED, unpack

CHECKER_PACKAGES = (
    "apt", "base-files", "base-passwd", "coreutils", "dash", "libc-bin", "locales", "logrotate", "nginx-core",
    "rsyslog", "rsyslog-openssl", "rsyslog-relp", "sudo", "systemd", "systemd-timesyncd", "tzdata",
)  # fmt: skip
SUITES = ("bookworm", "bullseye")
# Raise it to unpack the trees anew though the list is the same.
EDITION = "3"
# The accounts that the packages' scripts and the roles make on a real host.
USERS = (
    "deploy:x:2001:2001::/home/deploy:/bin/bash",
    "shop:x:2002:2002::/nonexistent:/usr/sbin/nologin",
    "shop_migrate:x:2003:2003::/nonexistent:/usr/sbin/nologin",
    # Ubuntu's rsyslogd gives up root for it.
    "syslog:x:2005:2005::/nonexistent:/usr/sbin/nologin",
)
GROUPS = (
    "deploy:x:2001:",
    "shop:x:2002:www-data",
    "shop_migrate:x:2003:",
    "ssl-cert:x:2004:syslog",
    "syslog:x:2005:",
)
MEGABYTES = 400

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "SYSTEMD_LOG_TARGET": "console",
    "SYSTEMD_LOG_COLOR": "0",
}

# $1 is the root the view is mounted on, $2 the layers, $3 what is written on top; the rest is the command. Addresses
# that this machine does not have count as its own inside, because the hosts have them.
VIEW = """
set -eu
root=$1 layers=$2 top=$3
shift 3
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$top/upper,workdir=$top/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=0755 tmpfs "$root/sys"
mkdir -p "$root/sys/fs/cgroup"
mount -t cgroup2 -o ro cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind
hostname localhost
exec chroot "$root" "$@"
"""


def shelf_name(suite: str) -> str:
    """Return the name under which a suite's programs are kept in the cache."""
    return f"{suite}-{cache.key(EDITION, *CHECKER_PACKAGES, *USERS, *GROUPS)}"


def root(suite: str) -> Path:
    """Return the folder of the unpacked programs of a Debian suite, unpacked first when this machine has none."""
    require(("unshare",))
    require_root()
    cache.ROOM.setdefault("checkers", MEGABYTES)
    return cache.built("checkers", shelf_name(suite), lambda folder: lay_out(suite, folder))


@functools.cache
def unavailable(suite: str) -> str:
    """Return why the suite's programs cannot be had on this machine, empty when they can."""
    if (cache.folder() / "checkers" / shelf_name(suite)).is_dir():
        return ""
    release = f"{mirror.read().debian.rstrip('/')}/dists/{suite}/Release"
    try:
        with urllib.request.urlopen(urllib.request.Request(release, method="HEAD"), timeout=30):
            return ""
    except urllib.error.HTTPError as error:
        return f"this machine's mirror does not carry Debian {suite} (it answered {error.code})"


def lay_out(suite: str, folder: Path) -> None:
    """Put the checkers of a suite, and what they ask for, into an empty folder."""
    unpack(CHECKER_PACKAGES, suite, folder, MERGED, ARCHIVED)
    for name, more in (("passwd", USERS), ("group", GROUPS)):
        plain = (folder / f"usr/share/base-passwd/{name}.master").read_text()
        (folder / "etc" / name).write_text(plain + "".join(f"{line}\n" for line in more))
    for name in ("proc", "dev", "run", "sys"):
        (folder / name).mkdir(exist_ok=True)
    # What the packages' scripts would have done.
    (folder / "etc/sudoers").chmod(0o440)
    for name in ("sudo", "other"):
        (folder / "etc/pam.d" / name).write_text("account sufficient pam_permit.so\n")
    (folder / "var/lib/logrotate/status").touch()
    (folder / "etc/apt/sources.list").unlink(missing_ok=True)
    folder.chmod(0o755)


def check(
    suite: str, layers: Sequence[Path], *command: str, seconds: int = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command on the suite's programs with the layers laid over them, the first on top; output is one text."""
    with ExitStack() as stack:
        top, view = (Path(tempfile.mkdtemp(prefix="slipway-view-")) for _ in range(2))
        for folder in (top, view):
            stack.callback(shutil.rmtree, folder)
        for name in ("upper", "work"):
            (top / name).mkdir()
        lower = ":".join(str(layer) for layer in (*layers, root(suite)))
        namespaces = [
            "unshare",
            "--mount",
            "--uts",
            "--cgroup",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
        ]
        return subprocess.run(
            [*namespaces, "sh", "-c", VIEW, "sh", view, lower, top, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=ENVIRONMENT,
            timeout=seconds,
            check=False,
        )


def main(words: Sequence[str]) -> int:
    """`install` unpacks what is missing; 0, or 1 after a sentence."""
    if list(words) != ["install"]:
        print("Usage: python -m tests.templates.checkers install", file=sys.stderr)
        return 2
    try:
        for suite in SUITES:
            print(f"The checkers of Debian {suite} are in {root(suite)}.")
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
