"""What makes a host of an image: its name, address, keys and apt sources, as a cloud gives them to an instance."""

import json
import shutil
import tempfile
from pathlib import Path

from tests.lab.site import Site
from tests.lab.ssh import make_key

NETWORK = """\
[Match]
Name=host0

[Network]
Address={address}/{prefix}
Gateway={gateway}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""

SOURCE = """\
Types: deb
URIs: {uri}
Suites: {suites}
Components: {components}
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def make(folder: Path, name: str, address: str, site: Site) -> None:
    """Make the folder of a host that has never booted; its host.json comes last and says that it is whole."""
    image = site.image()
    for part in ("upper", "work", "root"):
        (folder / part).mkdir(parents=True)
    (folder / "upper").chmod(0o755)
    (folder / "image").symlink_to(image)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        key = Path(scratch) / "key"
        make_key(key, name)
        secret, public = key.read_text(), key.with_suffix(".pub").read_text()
    network = site.network
    layer = Layer(folder / "upper", image)
    layer.write("etc/hostname", f"{name}\n")
    # Nothing listens there: a name that is not in /etc/hosts is refused at once.
    layer.write("etc/resolv.conf", f"nameserver {network.address}\n")
    layer.write(
        "etc/systemd/network/10-host0.network",
        NETWORK.format(address=address, prefix=network.subnet.prefixlen, gateway=network.address),
    )
    layer.write("etc/apt/sources.list.d/debian.sources", apt_sources(network.sources(site.mirrors)))
    layer.write("etc/ssh/ssh_host_ed25519_key", secret, 0o600)
    layer.write("etc/ssh/ssh_host_ed25519_key.pub", public)
    layer.write("root/.ssh/authorized_keys", site.access.key.with_suffix(".pub").read_text(), 0o600)
    (folder / "upper/root/.ssh").chmod(0o700)
    about = {"address": address, "host_key": " ".join(public.split()[:2])}
    partial = folder / "host.json.partial"
    partial.write_text(json.dumps(about) + "\n")
    partial.rename(folder / "host.json")


def apt_sources(lines: list[str]) -> str:
    """Return one-line apt sources in the deb822 format, one paragraph for each archive."""
    suites: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        _, uri, suite, components = line.split(" ", 3)
        suites.setdefault((uri, components), []).append(suite)
    return "\n".join(
        SOURCE.format(uri=uri, suites=" ".join(carried), components=components)
        for (uri, components), carried in suites.items()
    )


class Layer:
    """The upper folder of an overlay, written before it is mounted."""

    def __init__(self, upper: Path, lower: Path) -> None:
        self.upper = upper
        self.lower = lower

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file; its folders keep the modes that they have in the image."""
        target = self.upper / path
        for folder in reversed(Path(path).parents[:-1]):
            if not (self.upper / folder).exists():
                (self.upper / folder).mkdir()
                if (self.lower / folder).exists():
                    shutil.copystat(self.lower / folder, self.upper / folder)
                else:
                    (self.upper / folder).chmod(0o755)
        target.touch(mode=0o600)
        target.write_text(text)
        target.chmod(mode)
