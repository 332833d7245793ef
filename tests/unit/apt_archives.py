"""A host's apt and dpkg in a folder, with archives that tests fill: apt and dpkg themselves say what waits there."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.unit.slipway import support  # noqa: F401  (finds slipway)

from slipway import processes  # isort: skip

CONTROL = """\
Package: {name}
Version: {version}
Architecture: all
Maintainer: Nobody <nobody@shop.example>
Description: nothing
"""


@dataclass(frozen=True)
class Apt:
    """A host's apt and dpkg, with archives in folders: jammy, jammy-updates, jammy-security."""

    folder: Path
    environment: dict[str, str]

    def has(self, suite: str, **versions: str) -> None:
        """From now on an archive offers these packages, and apt knows it."""
        archive = self.folder / "archive/dists" / suite
        binary = archive / "main/binary-all"
        binary.mkdir(parents=True)
        # Nothing is fetched from there.
        paragraphs = [
            f"{CONTROL.format(name=name, version=version)}Filename: pool/{name}.deb\nSize: 1\nSHA256: {'0' * 64}\n"
            for name, version in versions.items()
        ]
        (binary / "Packages").write_text("\n".join(paragraphs))
        (archive / "Release").write_text(
            f"Origin: Ubuntu\nSuite: {suite}\nCodename: jammy\nArchitectures: all\nComponents: main\n"
            f"SHA256:\n{self._digest(binary / 'Packages', archive)}\n"
        )
        with (self.folder / "sources.list").open("a") as sources:
            sources.write(f"deb [trusted=yes] file:{self.folder}/archive {suite} main\n")
        self._run("apt-get", "update", "--quiet")

    def installed(self, selection: str = "install", **versions: str) -> None:
        """These packages are on the host. selection: hold for those that somebody holds back."""
        with (self.folder / "dpkg/status").open("a") as status:
            for name, version in versions.items():
                first, _, rest = CONTROL.format(name=name, version=version).partition("\n")
                status.write(f"{first}\nStatus: {selection} ok installed\n{rest}\n")

    def _digest(self, path: Path, beside: Path) -> str:
        digest = self._run("sha256sum", str(path)).split()[0]
        return f" {digest} {path.stat().st_size} {path.relative_to(beside)}"

    def _run(self, *command: str) -> str:
        environment = {**processes.ENVIRONMENT, **self.environment}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def apt_in(folder: Path) -> Apt:
    """An apt that knows of no archive, and a dpkg without a package."""
    for name in ("dpkg/updates", "dpkg/info", "lists/partial", "cache/archives/partial", "parts"):
        (folder / name).mkdir(parents=True)
    (folder / "dpkg/status").touch()
    (folder / "sources.list").touch()
    (folder / "apt.conf").write_text(
        f'Dir::State "{folder}";\nDir::State::status "{folder}/dpkg/status";\nDir::Cache "{folder}/cache";\n'
        f'Dir::Etc::sourcelist "{folder}/sources.list";\nDir::Etc::sourceparts "{folder}/parts";\n'
        f'Dir::Etc::preferences "{folder}/preferences";\nDir::Etc::preferencesparts "{folder}/parts";\n'
        'APT::Architecture "amd64";\nAPT::Sandbox::User "root";\n#clear APT::Update::Post-Invoke-Success;\n'
    )
    environment = {"APT_CONFIG": str(folder / "apt.conf"), "DPKG_ADMINDIR": str(folder / "dpkg")}
    return Apt(folder, environment)
