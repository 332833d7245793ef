"""An authority that speaks ACME, for tests: Debian's Pebble and certbot, unpacked in the cache and not installed."""

from __future__ import annotations

import json
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import cache
from tests.lab.commands import run
from tests.lab.errors import LabError
from tests.lab.unpack import MERGED, unpack

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "certbot", "openssl", "pebble", "python3")
# Raise it to unpack the tree anew though the list is the same.
EDITION, MEGABYTES = "1", 300
# No pauses for effect, each name asked for each time, and no request refused for sport.
ENVIRONMENT = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"}
PORT, ROOTS_PORT, NAMES_PORT, TOLD_PORT = 14000, 15000, 8053, 8055
PATIENCE = 30.0


def programs() -> Path:
    """Return the root of the unpacked programs, unpacked first when this machine has none."""
    cache.ROOM.setdefault("authorities", MEGABYTES)
    return cache.built("authorities", f"{SUITE}-{cache.key(EDITION, *PACKAGES)}", _unpack)


def _unpack(folder: Path) -> None:
    unpack(PACKAGES, SUITE, folder, MERGED)
    folder.chmod(0o755)


def settings(address: str, pair: str, **said: Any) -> str:
    """Pebble's configuration; pair: the path of its own certificate and key, without .pem and .key."""
    whole = {
        "listenAddress": f"{address}:{PORT}",
        "managementListenAddress": f"{address}:{ROOTS_PORT}",
        "certificate": f"{pair}.pem",
        "privateKey": f"{pair}.key",
        "httpPort": 80,
        "tlsPort": 443,
        **said,
    }
    return json.dumps({"pebble": whole})


def command(address: str, config: str) -> list[str]:
    """Pebble, which asks the names' server beside it."""
    return ["pebble", "-config", config, "-dnsserver", f"{address}:{NAMES_PORT}"]


def names(address: str, default: str = "") -> list[str]:
    """The server of names; default: where every name leads that nobody told it of, empty for nowhere."""
    ports = ["-dns01", f"{address}:{NAMES_PORT}", "-management", f"{address}:{TOLD_PORT}"]
    nothing_else = ["-http01", "", "-https01", "", "-tlsalpn01", ""]
    return ["pebble-challtestsrv", "-defaultIPv4", default, "-defaultIPv6", "", *ports, *nothing_else]


def certify(folder: Path, name: str, names: str) -> None:
    """Make <name>.pem and <name>.key, of its own authority, valid for names such as DNS:a.test,IP:10.0.0.1."""
    run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}",
            "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem",
        ],
        purpose=f"make a certificate for {names}",
    )  # fmt: skip


def ordered(log: Path) -> int:
    """How many certificates Pebble was asked for."""
    return log.read_text().count("order-plz")


@dataclass(frozen=True)
class Authority:
    """directory: its address. known_by: PEM of what it shows itself, and of the root of what it issues."""

    directory: str
    known_by: Path
    log: Path

    def orders(self) -> int:
        """How many certificates it was asked for."""
        return ordered(self.log)


@contextmanager
def running(address: str, host: str, **said: Any) -> Iterator[Authority]:
    """An authority on an address of this machine, for which every name leads to host. said: settings of Pebble's."""
    with tempfile.TemporaryDirectory(prefix="slipway-authority-") as scratch:
        folder, log = Path(scratch), Path(scratch) / "pebble.log"
        certify(folder, "pebble", f"IP:{address}")
        (folder / "config.json").write_text(settings(address, str(folder / "pebble"), **said))
        daemons = []
        try:
            with log.open("w") as output:
                for words in (names(address, host), command(address, str(folder / "config.json"))):
                    own = [str(programs() / "usr/bin" / words[0]), *words[1:]]
                    daemons.append(subprocess.Popen(own, stdout=output, stderr=output, env=ENVIRONMENT))
            root = _root(f"https://{address}:{ROOTS_PORT}/roots/0", folder / "pebble.pem")
            (folder / "known.pem").write_bytes((folder / "pebble.pem").read_bytes() + root)
            yield Authority(f"https://{address}:{PORT}/dir", folder / "known.pem", log)
        finally:
            for daemon in daemons:
                daemon.kill()
                daemon.wait(30)


def _root(address: str, authority: Path) -> bytes:
    """The certificate of who signs what is issued, as soon as it is told."""
    context = ssl.create_default_context(cafile=str(authority))
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5, context=context) as said:
                found: bytes = said.read()
                return found
        except OSError as error:
            if time.monotonic() > deadline:
                raise LabError(f"Pebble does not answer on {address}: {error}") from error
            time.sleep(0.2)
