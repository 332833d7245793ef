"""How many installed packages the security archive has newer versions of, as apt and dpkg themselves say."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from slipway import processes
from slipway.metrics import of_the_host

from tests.unit.slipway.support import Host

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


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    for name in ("dpkg/updates", "dpkg/info", "lists/partial", "cache/archives/partial", "parts"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "dpkg/status").touch()
    (tmp_path / "sources.list").touch()
    (tmp_path / "apt.conf").write_text(
        f'Dir::State "{tmp_path}";\nDir::State::status "{tmp_path}/dpkg/status";\nDir::Cache "{tmp_path}/cache";\n'
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "{tmp_path}/parts";\n'
        f'Dir::Etc::preferences "{tmp_path}/preferences";\nDir::Etc::preferencesparts "{tmp_path}/parts";\n'
        'APT::Architecture "amd64";\nAPT::Sandbox::User "root";\n#clear APT::Update::Post-Invoke-Success;\n'
    )
    environment = {"APT_CONFIG": str(tmp_path / "apt.conf"), "DPKG_ADMINDIR": str(tmp_path / "dpkg")}
    monkeypatch.setattr(of_the_host, "run", partial(processes.run, environment=environment))
    return Apt(tmp_path, environment)


def waiting(host: Host) -> float:
    (host.runtime / "updates.json").unlink(missing_ok=True)
    return {name: value for name, _, value in of_the_host.samples(host)}["slipway_security_updates_waiting"]


def test_a_security_update_waits_that_a_later_one_of_another_archive_hides(host: Host, apt: Apt) -> None:
    apt.installed(wget="1.0")
    apt.has("jammy", wget="1.0")
    apt.has("jammy-security", wget="1.1")
    apt.has("jammy-updates", wget="1.2")

    assert waiting(host) == 1


def test_a_security_update_waits_that_somebody_holds_back(host: Host, apt: Apt) -> None:
    apt.installed("hold", wget="1.0")
    apt.has("jammy-security", wget="1.1")

    assert waiting(host) == 1


def test_none_waits_where_only_something_else_is_newer(host: Host, apt: Apt) -> None:
    apt.installed(wget="1.1", curl="2.0")
    apt.has("jammy-security", wget="1.1", curl="1.9", vim="9")
    apt.has("jammy-updates", wget="1.2", curl="2.1")

    assert waiting(host) == 0


def test_what_was_removed_and_left_its_settings_needs_no_update(host: Host, apt: Apt) -> None:
    apt.installed(wget="1.0")
    status = apt.folder / "dpkg/status"
    status.write_text(status.read_text().replace("install ok installed", "deinstall ok config-files"))
    apt.has("jammy-security", wget="1.1")

    assert waiting(host) == 0


def test_the_installed_version_may_have_a_security_update_that_is_the_newest(host: Host, apt: Apt) -> None:
    apt.installed(wget="1.0", curl="2.0")
    apt.has("jammy-security", wget="1.1", curl="2.1")
    apt.has("jammy-updates", wget="1.1", curl="2.1")

    assert waiting(host) == 2


def test_nothing_is_told_where_apt_does_not_answer(host: Host, apt: Apt) -> None:
    apt.installed(wget="1.0")
    (apt.folder / "sources.list").write_text("nonsense\n")

    assert "slipway_security_updates_waiting" not in {name for name, _, _ in of_the_host.samples(host)}
