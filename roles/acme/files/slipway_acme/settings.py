"""What the inventory says: /etc/slipway/<app>/acme.conf, which the role writes."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path

from slipway_acme.errors import AcmeError

FILE = "/etc/slipway/{app}/acme.conf"


@dataclass(frozen=True)
class Settings:
    """names: the public ones, the first is asked for. directory: the authority's address. authority: certificates that
    vouch for it beside the host's own, or None. certificate: chain and key in one file, as nginx reads it."""

    app: str
    names: tuple[str, ...]
    mail: str
    directory: str
    authority: Path | None
    webroot: Path
    certificate: Path

    @property
    def unit(self) -> str:
        return f"slipway-acme-{self.app}.service"

    @property
    def record(self) -> Path:
        return Path(f"/var/lib/slipway/{self.app}/acme.json")


def read(app: str) -> Settings:
    """Raises AcmeError where the file is not there or not whole."""
    path = FILE.format(app=app)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with open(path, encoding="utf-8") as stream:
            parser.read_file(stream)
        said = parser["acme"]
        return Settings(
            app,
            tuple(said["names"].split()),
            said["mail"],
            said["directory"],
            Path(said["authority"]) if said["authority"] else None,
            Path(said["webroot"]),
            Path(said["certificate"]),
        )
    except (OSError, KeyError, configparser.Error) as problem:
        raise AcmeError(f"{path} does not say what to ask for ({problem}): run site.yml.") from problem
