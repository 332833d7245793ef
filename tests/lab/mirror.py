"""Where this machine gets Debian from: its own apt configuration, read by apt itself."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tests.lab.commands import run
from tests.lab.errors import LabError
from tests.lab.platforms import DEBIAN

SUITE = DEBIAN.suite
INDEX = re.compile(r"'(?P<uri>[^']+?)/*/dists/(?P<suite>[^' ]+?)/(?:InRelease|Release)'")


@dataclass(frozen=True)
class Mirrors:
    """The upstream of Debian and of its security updates (None when the machine has none), and the way there."""

    debian: str
    security: str | None
    proxy: str | None = None


def read(options: tuple[str, ...] = ()) -> Mirrors:
    """Return the mirrors of this machine; options are further ones for apt-get."""
    listing = run(
        ["apt-get", *options, "--print-uris", "update"], purpose="read this machine's apt configuration"
    )
    archives = [(resolve(found["uri"]), found["suite"]) for found in INDEX.finditer(listing)]
    archives = [(uri, suite) for uri, suite in archives if uri.startswith(("http://", "https://"))]
    debian = choose(archives, SUITE, "/debian")
    if debian is None:
        raise LabError(
            f"This machine's apt configuration has no HTTP mirror of Debian ({SUITE}), which the lab's hosts boot; "
            "nothing was changed. Add a source for it under /etc/apt/sources.list.d, then type the command again."
        )
    return Mirrors(debian, choose(archives, f"{SUITE}-security", "/debian-security"), proxy(options))


def sources() -> list[str]:
    """Return the apt sources of Debian 12 on this machine, one-line format."""
    found = read()
    lines = [f"deb {found.debian} {SUITE}{pocket} main" for pocket in DEBIAN.pockets]
    return lines + ([f"deb {found.security} {SUITE}-security main"] if found.security else [])


def choose(archives: list[tuple[str, str]], suite: str, path: str) -> str | None:
    """Return the first archive that carries the suite; failing that, another release's archive of the same path."""
    named = [uri for uri, carried in archives if carried == suite]
    similar = [uri for uri, _ in archives if uri.endswith(path)]
    return next(iter(named + similar), None)


def resolve(uri: str) -> str:
    """Return the first mirror of a list of mirrors on this machine (mirror+file:), any other address as it is."""
    if not uri.startswith("mirror+file:"):
        return uri
    listed = Path(uri.removeprefix("mirror+file:")).read_text().splitlines()
    entries = [line.split()[0] for line in listed if line.strip() and not line.startswith("#")]
    return entries[0].rstrip("/") if entries else ""


def proxy(options: tuple[str, ...] = ()) -> str | None:
    """Return the HTTP proxy through which this machine's apt goes."""
    value = setting("Acquire::http::Proxy", options) or os.environ.get("http_proxy", "")
    return value if value.startswith("http://") else None


def setting(name: str, options: tuple[str, ...] = ()) -> str:
    """Return one value of this machine's apt configuration, empty when it is not set."""
    shell = run(["apt-config", *options, "shell", "VALUE", name], purpose=f"read apt's setting {name}")
    return shell.partition("=")[2].strip().strip("'")


def validity_options() -> list[str]:
    """Return apt's settings about dates on this machine, so that a mirror it accepts is accepted in the image."""
    names = ("Acquire::Check-Valid-Until", "Acquire::Check-Date")
    return [f'{name} "{value}"' for name in names if (value := setting(name))]
