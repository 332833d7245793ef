"""An edge with a network of its own, in which an authority asks on port 80.

The files are rendered; nginx, certbot and Pebble are Debian's, unpacked and not installed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import authority
from tests.templates import checkers
from tests.unit.plugins.ansible_run import load_plugin

PLATFORM = "Debian-12"
NAMES = ("shop.test", "www.shop.test")
DIRECTORY = "https://127.0.0.1:14000/dir"
PROGRAM, UNIT_FILE = "/usr/local/lib/slipway/acme", "etc/systemd/system/slipway-acme-shop.service"
LIVE = "/etc/ssl/slipway/acme.pem"
# What packages and roles make on a host, and a place for what the tests make.
FOLDERS = (
    "/var/lib/slipway/shop/acme", "/etc/letsencrypt", "/var/log/letsencrypt", "/var/lib/nginx", "/etc/ssl/slipway",
    "/srv/shop", "/pebble",
)  # fmt: skip
# $1 is the root, $2 the layers, $3 what is written on top.
VIEW = """
set -eu
mount -t overlay overlay -o "lowerdir=$2,upperdir=$3/upper,workdir=$3/work" "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs -o mode=0755 tmpfs "$1/run"
ip link set lo up
exec chroot "$1" sleep 3600
"""


@dataclass
class Edge:
    """pid: who holds its namespaces open. folder: what the tests keep beside it."""

    pid: int
    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *words: str) -> None:
        """Run a daemon until the edge is gone, or stop() is asked for."""
        with (self.folder / f"{name}.log").open("a") as log:
            self.running[name] = subprocess.Popen(
                self.command(*words),
                stdout=log,
                stderr=log,
                env={**checkers.ENVIRONMENT, **authority.ENVIRONMENT},
            )

    def stop(self, name: str) -> None:
        process = self.running.pop(name)
        # nsenter waits for the daemon, which is its child.
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGTERM)
        process.wait(30)

    def path(self, name: str) -> Path:
        """A file of the edge as this machine's tests reach it; links in it have to be relative."""
        return Path(f"/proc/{self.pid}/root{name}")

    def command(self, *words: str) -> list[str]:
        return [
            "nsenter",
            f"--target={self.pid}",
            "--mount",
            "--net",
            "--pid",
            "--uts",
            "--root",
            "--wd",
            "--",
            *words,
        ]

    def run(self, *words: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), input=given, capture_output=True, text=True, check=False, timeout=300,
            env={**checkers.ENVIRONMENT, **more},
        )  # fmt: skip

    def renew(self) -> subprocess.CompletedProcess[str]:
        """What the timer runs."""
        return self.run(PROGRAM, "--app=shop", "renew")

    def renew_later(self, days: float = 61, kill: int = 0) -> subprocess.CompletedProcess[str]:
        """The same after some days, by the program's own clock; killed at its n-th step on the live pair."""
        return self.run("python3", "-c", LATER, PROGRAM, str(days), str(kill))

    def look(self) -> dict[str, Any]:
        return dict(json.loads(self.run(PROGRAM, "--app=shop", "look").stdout))

    def shown(self, name: str = NAMES[0]) -> str:
        """The certificate that a client is shown, in PEM."""
        said = self.run("openssl", "s_client", "-connect", "127.0.0.1:443", "-servername", name).stdout
        return said[said.index("-----BEGIN") : said.index("-----END")] + "-----END CERTIFICATE-----\n"

    def orders(self) -> int:
        """How many certificates the authority was asked for."""
        return authority.ordered(self.folder / "pebble.log")

    def lies(self) -> str:
        """The certificate of the file that nginx reads."""
        text = self.path(LIVE).read_text()
        return text[: text.index("-----END CERTIFICATE")] + "-----END CERTIFICATE-----\n"

    def point(self, name: str, address: str) -> None:
        """Have a name lead elsewhere; empty is nowhere."""
        asked = {"host": name, "addresses": [address]} if address else {"host": name}
        word = "add-a" if address else "clear-a"
        self.run(*PYTHON, f"http://127.0.0.1:8055/{word}", json.dumps(asked))

    def settings(self, **changed: str) -> None:
        """Change lines of acme.conf, as another inventory would."""
        path = self.path("/etc/slipway/shop/acme.conf")
        lines = [
            f"{key} = {changed[key]}" if (key := line.partition(" =")[0]) in changed else line
            for line in path.read_text().splitlines()
        ]
        path.write_text("\n".join(lines) + "\n")


NGINX = ("nginx", "-g", "daemon off;")
# Every call that changes something is counted, and what is killed dies before it; the last one dies when all is done.
LATER = """
import os, signal, sys, time, types
program, days, last = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
sys.path.insert(0, program)
from slipway_acme import cli, live
cli.time = types.SimpleNamespace(time=lambda: time.time() + days * 86400)
live.SECONDS = 2.0
step = 0
def count():
    global step
    step += 1
    if step == last:
        os.kill(os.getpid(), signal.SIGKILL)
def counted(call):
    def counting(*given, **more):
        count()
        return call(*given, **more)
    return counting
ours = types.ModuleType("os")
ours.__dict__.update(os.__dict__)
for name in ("open", "fdopen", "fchown", "fchmod", "fsync", "link", "rename", "close"):
    setattr(ours, name, counted(getattr(os, name)))
live.os = ours
live.unserved = counted(live.unserved)
live.Path.unlink = counted(live.Path.unlink)
code = cli.main(["--app=shop", "renew"])
count()
print("steps", step)
raise SystemExit(code)
"""
PYTHON = ("python3", "-c", "import sys, urllib.request as u; u.urlopen(sys.argv[1], sys.argv[2].encode())")


@contextmanager
def edge(tree: Path, **pebble: Any) -> Iterator[Edge]:
    """A rendered edge that serves by the certificate of its own authority. pebble: settings of the authority."""
    folder = Path(tempfile.mkdtemp(prefix="slipway-acme-"))
    view = folder / "view"
    for name in ("view", "upper", "work"):
        (folder / name).mkdir()
    layers = ":".join(map(str, (tree, authority.programs(), checkers.root(authority.SUITE))))
    holder = subprocess.Popen(
        ["unshare", "--mount", "--uts", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private",
         "sh", "-c", VIEW, "sh", view, layers, folder],
    )  # fmt: skip
    found = None
    try:
        found = Edge(_inside(holder.pid), folder)
        _furnish(found)
        for name, words in _daemons(found, pebble):
            found.start(name, *words)
        for port in (80, 443, 8055, 14000):
            wait_for(lambda port=port: _listens(found, port), f"port {port} of the edge")  # type: ignore[misc]
        for name in NAMES:
            found.point(name, "127.0.0.1")
        yield found
    finally:
        for process in [*(found.running.values() if found else []), holder]:
            process.kill()
            process.wait(30)
        shutil.rmtree(folder)


def _inside(unshare: int) -> int:
    """The one process below unshare, when it is in its root."""
    children = Path(f"/proc/{unshare}/task/{unshare}/children")

    def pid() -> int:
        with suppress(OSError, LookupError):
            child = int(children.read_text().split()[0])
            return child if Path(f"/proc/{child}/comm").read_text().strip() == "sleep" else 0
        return 0

    wait_for(pid, "the edge's namespaces")
    return pid()


def _furnish(found: Edge) -> None:
    """What roles and packages do on a host: the program, folders, the host's own pair, and the authority's."""
    program = found.path(PROGRAM)
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_bytes(
        load_plugin("action/host_files")._program(Path("roles/acme/files/slipway_acme").absolute())
    )
    program.chmod(0o755)
    for name in FOLDERS:
        found.path(name).mkdir(parents=True, exist_ok=True)
    for name, names in (("own", ",".join(f"DNS:{name}" for name in NAMES)), ("pebble", "IP:127.0.0.1")):
        authority.certify(found.folder, name, names)
    own = (found.folder / "own.pem").read_bytes() + (found.folder / "own.key").read_bytes()
    found.path(LIVE).write_bytes(own)
    found.path(LIVE).chmod(0o640)
    found.run("chown", "root:www-data", LIVE)
    for name in ("ca.pem", "host.pem", "acme-ca.pem"):
        found.path(f"/etc/ssl/slipway/{name}").write_bytes((found.folder / "pebble.pem").read_bytes())
    for name in ("pebble.pem", "pebble.key"):
        found.path(f"/pebble/{name}").write_bytes((found.folder / name).read_bytes())


def _daemons(found: Edge, pebble: dict[str, Any]) -> list[tuple[str, list[str]]]:
    found.path("/pebble/config.json").write_text(authority.settings("127.0.0.1", "/pebble/pebble", **pebble))
    return [
        ("nginx", list(NGINX)),
        ("names", authority.names("127.0.0.1")),
        ("pebble", authority.command("127.0.0.1", "/pebble/config.json")),
    ]


def _listens(found: Edge, port: int) -> bool:
    words = ("python3", "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)")
    return found.run(*words).returncode == 0


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def whole(text: str) -> bool:
    """Whether chain and key of a file belong to each other."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(text)
        file.flush()
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file.name)
        except ssl.SSLError:
            return False
    return True
