"""The Python that releases are built with: the host's own, or the one that its release.conf names."""

from __future__ import annotations

import configparser
import os
import platform
import re
import sys
from dataclasses import dataclass
from functools import lru_cache

from slipway.errors import StepError
from slipway.host import Host
from slipway.processes import run

SECONDS = 30.0
# What an environment is made with has to be there too; a distribution has it in a package of its own.
ASKING = "import ensurepip, platform, venv; print(platform.python_version())"


@dataclass(frozen=True)
class Interpreter:
    """path: what is started. version: such as 3.10.12. real: the file that an environment's bin/python leads to."""

    path: str
    version: str
    real: str

    @property
    def short(self) -> str:
        """As a bundle's targets have it, such as 3.10."""
        return ".".join(self.version.split(".")[:2])


def of(host: Host) -> Interpreter:
    """Raises StepError when the one that is named cannot be used."""
    named = _named(host)
    if not named:
        return Interpreter(host.python, platform.python_version(), os.path.realpath(sys.executable))
    return Interpreter(named, _version(named), os.path.realpath(named))


def _named(host: Host) -> str:
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read_string(host.settings.read_text(encoding="utf-8"))
        return settings.get("release", "python", fallback="")
    except (OSError, ValueError, configparser.Error):
        return ""


# Asked once: several commands may run in one process.
@lru_cache(maxsize=4)
def _version(path: str) -> str:
    try:
        said = run([path, "-I", "-c", ASKING], SECONDS).output.strip()
    except OSError as failure:
        said = str(failure)
    if not re.fullmatch(r"3\.[0-9]+\.[0-9][^\s]*", said):
        raise StepError(
            "python-missing",
            f"Releases of this host are to be built with {path} (app_python), and that does not work: "
            f"{said.splitlines()[-1] if said else 'it says nothing'}. Nothing was built; traffic is untouched. Run "
            "site.yml, which installs it, or see to it that it has venv and ensurepip.",
        )
    return said
