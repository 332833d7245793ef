"""What makes a host of an image: its name, address, keys and apt sources, as a cloud gives them to an instance."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from tests.lab import cloud, snap
from tests.lab.commands import run
from tests.lab.site import Site
from tests.lab.ssh import SSH_PORT, Login, make_key

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
    own = site.own.get(name, address)
    layer.write("etc/hostname", f"{name}\n")
    # Nothing listens there: a name that is not in /etc/hosts is refused at once.
    layer.write("etc/resolv.conf", f"nameserver {network.address}\n")
    layer.write(
        "etc/systemd/network/10-host0.network",
        NETWORK.format(address=own, prefix=network.subnet.prefixlen, gateway=network.address),
    )
    layer.write("etc/ssh/ssh_host_ed25519_key", secret, 0o600)
    layer.write("etc/ssh/ssh_host_ed25519_key.pub", public)
    if way := sshd(site.login):
        layer.write("etc/ssh/sshd_config.d/20-way-in.conf", way)
    login = site.access.key.with_suffix(".pub").read_text()
    if site.platform.cloud:
        made_of = cloud.seed(name, login, site.platform, network.url, site.login, site.variants)
        for path, text in made_of.items():
            layer.write(path, text, 0o600)
        (folder / "snap").symlink_to(snap.image())
    else:
        layer.write("etc/apt/sources.list.d/debian.sources", apt_sources(site.sources))
        admit(layer, site.login.user, login)
    about = {
        "address": address,
        "port": site.login.port,
        "host_key": " ".join(public.split()[:2]),
        "platform": site.platform.name,
    }
    partial = folder / "host.json.partial"
    partial.write_text(json.dumps(about) + "\n")
    partial.rename(folder / "host.json")


def sshd(login: Login) -> str:
    """Return the settings of an sshd that is reached in another way than clouds have it, "" for theirs."""
    lines = [f"Port {login.port}\n"] if login.port != SSH_PORT else []
    if login.jump:
        lines.append(f"AllowUsers *@{login.jump.rpartition('@')[2]}\n")
    return "".join(lines)


def admit(layer: "Layer", user: str, key: str) -> None:
    """Let a user in with a key (public): root, or one who may do all with sudo, as a cloud makes it."""
    home = "root"
    if user != "root":
        home = f"home/{user}"
        for path in ("etc/passwd", "etc/shadow", "etc/group", "etc/gshadow"):
            known = (layer.lower / path).stat()
            layer.write(path, (layer.lower / path).read_text(), known.st_mode & 0o777)
            os.chown(layer.upper / path, known.st_uid, known.st_gid)
        login = ["--create-home", "--user-group", "--shell", "/bin/bash", user]
        run(["useradd", "--prefix", layer.upper, *login], purpose=f"make the user {user}")
        layer.write(f"etc/sudoers.d/90-{user}", f"{user} ALL=(ALL) NOPASSWD:ALL\n", 0o440)
    layer.write(f"{home}/.ssh/authorized_keys", key, 0o600)
    (layer.upper / home / ".ssh").chmod(0o700)
    owner = (layer.upper / home).stat()
    for path in (f"{home}/.ssh", f"{home}/.ssh/authorized_keys"):
        os.chown(layer.upper / path, owner.st_uid, owner.st_gid)


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
