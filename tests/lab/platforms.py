"""Which systems the lab boots: what each is called, and where its packages are on the lab's network."""

from dataclasses import dataclass

from tests.lab.errors import LabError


@dataclass(frozen=True)
class Platform:
    """A system of the lab's hosts.

    archive and security: its folders in the package cache. pockets: what follows the suite's name. cloud: whether
    cloud-init makes the host, from a seed; else the lab writes what a host needs.
    """

    name: str
    about: str
    suite: str
    pockets: tuple[str, ...]
    components: str
    archive: str
    security: str
    cloud: bool

    def sources(self, cache: str, *, security: bool = True) -> list[str]:
        """Return the apt sources through the package cache at this URL, one-line format."""
        lines = [
            f"deb {cache}/{self.archive} {self.suite}{pocket} {self.components}" for pocket in self.pockets
        ]
        if security:
            lines.append(f"deb {cache}/{self.security} {self.suite}-security {self.components}")
        return lines


DEBIAN = Platform(
    name="debian-12",
    about="Debian 12",
    suite="bookworm",
    pockets=("", "-updates"),
    components="main",
    archive="debian",
    security="debian-security",
    cloud=False,
)
UBUNTU = Platform(
    name="ubuntu-22",
    about="Ubuntu 22.04",
    suite="jammy",
    pockets=("", "-updates"),
    components="main restricted universe multiverse",
    archive="ubuntu",
    security="ubuntu-security",
    cloud=True,
)
PLATFORMS = {platform.name: platform for platform in (DEBIAN, UBUNTU)}


def named(name: str) -> Platform:
    """Return a platform by its name; raise LabError when there is none."""
    if name not in PLATFORMS:
        raise LabError(
            f"The lab boots {' or '.join(PLATFORMS)}, and lab_platform is {name!r}; nothing was changed. "
            "Set it to one of them in the inventory."
        )
    return PLATFORMS[name]
