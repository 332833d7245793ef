"""What an engineer signs: the lab's own key may."""

from pathlib import Path

from fabfile.bundle import signing
from fabfile.bundle.archive import Bundle
from fabfile.hosts.environment import Signing
from tests.lab.host import Host


def signature(host: Host, sha256: str, key: Path | None = None) -> str:
    """The word by which `slipway stage` is given who vouches for the bundle with this checksum."""
    made = signing.signed(
        Signing(True, key or host.site.access.key), Bundle(Path("/no/bundle"), sha256, "", "shop")
    )
    return f"--signature={made.signature}"
