"""Ubuntu's archive: where it is, whether this machine reaches it, and the key that it is signed with."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache
from tests.lab.commands import run
from tests.lab.errors import LabError
from tests.lab.platforms import UBUNTU

# What Ubuntu hosts are given by the role is what their image is made from.
ROLE = Path(__file__).parents[2] / "roles/apt_sources/vars/Ubuntu-22.yml"
ARCHIVE = re.compile(
    r"^__apt_sources_own_(archive|security): >-\n\s+\{\{ '([^']+)' if .* else '([^']+)' \}\}$", re.M
)
INSTALLED_KEYRING = Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg")
# Outside of Ubuntu the key comes with its package, which has to be this very one.
KEYRING_PACKAGE = "pool/main/u/ubuntu-keyring/ubuntu-keyring_2021.03.26_all.deb"
KEYRING_SHA256 = "0d0e7ed6b112f5d03eabf3c7eb01ebdacf9c57714b279e90495cfc58c8c4520f"
HELPER = "/usr/lib/apt/apt-helper"
# Seconds after which an archive that says nothing is not there.
PATIENCE = 5


@dataclass(frozen=True)
class Upstream:
    """The archive of Ubuntu, and that of its security updates."""

    archive: str
    security: str


def upstream(architecture: str = "amd64") -> Upstream:
    """Return the archives that the role apt_sources gives to an Ubuntu host of this architecture."""
    found = {
        name: (own if architecture == "amd64" else ports)
        for name, own, ports in ARCHIVE.findall(ROLE.read_text())
    }
    return Upstream(found["archive"], found["security"])


def reachable(archive: str) -> bool:
    """Say whether this machine's apt can fetch from an archive of Ubuntu."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            fetch(f"{archive}/dists/{UBUNTU.suite}/Release.gpg", Path(scratch) / "Release.gpg")
        except LabError:
            return False
    return True


def keyring() -> Path:
    """Return the file with the keys of Ubuntu's archive: this machine's own, else fetched once and checked."""
    if INSTALLED_KEYRING.exists():
        return INSTALLED_KEYRING
    cache.ROOM.setdefault("keyrings", 1)
    return cache.built("keyrings", cache.key(KEYRING_SHA256), unpack_keyring) / INSTALLED_KEYRING.name


def unpack_keyring(folder: Path) -> None:
    """Fetch the package with the keys and keep its keyring in an empty folder."""
    package = folder / "keyring.deb"
    fetch(f"{upstream().archive}/{KEYRING_PACKAGE}", package, KEYRING_SHA256)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        run(["dpkg-deb", "--extract", package, scratch], purpose="unpack the keys of Ubuntu's archive")
        (Path(scratch) / INSTALLED_KEYRING.relative_to("/")).rename(folder / INSTALLED_KEYRING.name)
    package.unlink()


def fetch(address: str, target: Path, sha256: str | None = None) -> None:
    """Download a file as this machine's apt would; raise LabError when it is not there or not this very file."""
    limits = [f"Acquire::http::Timeout={PATIENCE}", "Acquire::Retries=0", "APT::Sandbox::User=root"]
    options = [part for limit in limits for part in ("-o", limit)]
    checked = [f"SHA256:{sha256}"] if sha256 else []
    run([HELPER, *options, "download-file", address, target, *checked], purpose=f"fetch {address}")
