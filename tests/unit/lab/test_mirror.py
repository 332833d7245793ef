"""The lab gets Debian from where this machine's own apt gets it, however that is written down."""

from pathlib import Path

import pytest

from tests.lab import mirror
from tests.lab.errors import LabError

ONE_LINE = """\
deb [arch=amd64] http://mirror.example/debian/ bookworm main contrib
deb http://mirror.example/debian bookworm-updates main
deb http://security.example/debian-security bookworm-security main
deb http://tools.example/apt stable main
"""
DEB822 = """\
Types: deb deb-src
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: https://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""


def apt(tmp_path: Path, **files: str) -> tuple[str, ...]:
    """Return the options that make apt read these files for its sources, and nothing of this machine's."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    for name, text in files.items():
        (parts / name.replace("_", ".")).write_text(text)
    (tmp_path / "apt.conf").write_text("")
    return ("-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={parts}")


def test_one_line_sources(tmp_path: Path) -> None:
    found = mirror.read(apt(tmp_path, debian_list=ONE_LINE))
    assert found.debian == "http://mirror.example/debian"
    assert found.security == "http://security.example/debian-security"


def test_deb822_sources_over_https(tmp_path: Path) -> None:
    found = mirror.read(apt(tmp_path, debian_sources=DEB822))
    assert found.debian == "https://mirror.example/debian"
    assert found.security == "https://mirror.example/debian-security"


def test_a_disabled_source_does_not_count(tmp_path: Path) -> None:
    disabled = DEB822.replace("Types: deb deb-src", "Enabled: no\nTypes: deb", 1)
    found = mirror.read(apt(tmp_path, a_sources=disabled, b_list=ONE_LINE))
    assert found.debian == "http://mirror.example/debian"


def test_a_list_of_mirrors_as_cloud_images_have_it(tmp_path: Path) -> None:
    listed = tmp_path / "mirrors.list"
    listed.write_text("# ours\nhttps://near.example/debian/\nhttps://far.example/debian\n")
    sources = f"deb mirror+file:{listed} bookworm main\n"
    assert mirror.read(apt(tmp_path, debian_list=sources)).debian == "https://near.example/debian"


def test_the_archive_of_another_release_serves_too(tmp_path: Path) -> None:
    found = mirror.read(apt(tmp_path, debian_list="deb http://mirror.example/debian trixie main\n"))
    assert found == mirror.Mirrors("http://mirror.example/debian", None, found.proxy)


def test_the_proxy_is_the_one_of_apt(tmp_path: Path) -> None:
    proxy = ("-o", "Acquire::http::Proxy=http://proxy.example:3128")
    assert mirror.read((*apt(tmp_path, debian_list=ONE_LINE), *proxy)).proxy == "http://proxy.example:3128"


def test_a_machine_without_debian_is_told_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"has no HTTP mirror of Debian \(bookworm\)"):
        mirror.read(apt(tmp_path, other_list="deb http://archive.example/ubuntu jammy main\n"))


def test_what_is_made_of_debian_is_made_of_its_newest_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    found = mirror.Mirrors("http://mirror.example/debian", "http://security.example/debian-security")
    monkeypatch.setattr(mirror, "read", lambda: found)

    assert mirror.sources() == [
        "deb http://mirror.example/debian bookworm main",
        "deb http://mirror.example/debian bookworm-updates main",
        "deb http://security.example/debian-security bookworm-security main",
    ]
