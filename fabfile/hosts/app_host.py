"""A host as SSH reaches it; apart from the inventory, which a host's own programs do without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AppHost:
    """A host, of the service or of its database, and how SSH reaches it as the user who deploys.

    proxy: the command whose standard input and output lead there, through a bastion; "" for none. app: the service's
    name.
    """

    name: str
    address: str
    port: int
    user: str
    key_file: Path | None
    known_hosts: Path
    proxy: str = ""
    app: str = ""
