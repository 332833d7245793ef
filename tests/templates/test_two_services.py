"""Two services of one host: what each gets, what both get, and that the daemons take it together."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.once import made_once
from tests.templates import checkers
from tests.templates.conftest import Trees
from tests.templates.rendering import SUITES, Case, HostTree, render
from tests.unit.contract.test_shared_files import SHARED

# All that a second inventory has to say of a host that another service has.
BESIDE = {
    "app_name": "stall",
    "nginx_server_names": ["stall.example"],
    "nginx_default_server": False,
    "nginx_metrics_port": 9146,
    "certificates_folder": "/etc/ssl/slipway/stall",
    "postgresql_cluster": "stall",
    "postgresql_port": 5433,
}
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root mounts the view in which the checkers run"
)


@pytest.fixture(scope="session", params=SUITES)
def both(
    request: pytest.FixtureRequest, trees: Trees, tmp_path_factory: pytest.TempPathFactory
) -> tuple[HostTree, HostTree]:
    """The trees of the lab's host for the shop, and for a second service."""
    case = Case("lab", request.param)
    folder = made_once(
        tmp_path_factory, f"beside-{case.platform}", lambda folder: render(case, folder, **BESIDE)
    )
    return trees[case.name, "shop-1"], HostTree(case, "shop-1", folder / "shop-1")


def test_what_both_get_is_on_the_list_and_the_same_to_the_byte(both: tuple[HostTree, HostTree]) -> None:
    shop, stall = both
    common = set(shop.paths()) & set(stall.paths())

    listed = {
        re.sub(r"\{\{ ansible_facts.* \}\}", shop.case.platform.split("-")[0].lower(), path)
        for path in SHARED
    }
    # Beside what is rendered: keys of archives, and a program.
    literal = {path for path in common if path.startswith("etc/apt/keyrings/")} | {
        "usr/local/lib/slipway/check-postgresql"
    }
    assert common <= listed | literal
    assert [path for path in sorted(common) if shop.text(path) != stall.text(path)] == []


def test_what_one_gets_does_not_name_the_other(both: tuple[HostTree, HostTree]) -> None:
    shop, stall = both

    # The host's own name is shop-1, and who signs is of shop.example.
    named = re.compile(r"(?<![A-Za-z])shop(?![A-Za-z]|-1\b|\.example)")
    said = {path: found for path in stall.paths() if (found := named.findall(f"{path} {stall.text(path)}"))}
    assert said == {}
    assert not [path for path in shop.paths() if re.search(r"\bstall", shop.text(path))]


@needs_root
def test_nginx_takes_both(both: tuple[HostTree, HostTree], certificates: Path, tmp_path: Path) -> None:
    shop, stall = both
    if reason := checkers.unavailable(shop.case.suite):
        pytest.skip(reason)
    second = tmp_path / "etc/ssl/slipway/stall"
    shutil.copytree(certificates / "etc/ssl/slipway", second)

    done = checkers.check(shop.case.suite, [shop.root, stall.root, certificates, tmp_path], "nginx", "-t")

    assert done.returncode == 0, done.stdout
    assert "[warn]" not in done.stdout, done.stdout


@needs_root
@pytest.mark.parametrize(
    "command",
    [
        ("rsyslogd", "-N1"),
        ("visudo", "-c"),
        ("logrotate", "--debug", "/etc/logrotate.d/shop", "/etc/logrotate.d/stall"),
    ],
    ids=lambda command: command[0],
)
def test_the_hosts_own_daemons_take_both(
    both: tuple[HostTree, HostTree], certificates: Path, command: tuple[str, ...]
) -> None:
    shop, stall = both
    if reason := checkers.unavailable(shop.case.suite):
        pytest.skip(reason)

    done = checkers.check(shop.case.suite, [shop.root, stall.root, certificates], *command)

    assert done.returncode == 0, done.stdout
    assert not re.search(r"^.*\berror\b(?!.*\.log).*$", done.stdout, re.IGNORECASE | re.MULTILINE), (
        done.stdout
    )


def test_only_one_of_two_services_is_nginxs_default(both: tuple[HostTree, HostTree]) -> None:
    shop, stall = both

    assert "listen 443 ssl http2 default_server;" in shop.text("etc/nginx/conf.d/shop.conf")
    assert " default_server;" not in stall.text("etc/nginx/conf.d/stall.conf")
    # Nor does it answer for its service where the other is gone: its first server is for nobody.
    first = stall.text("etc/nginx/conf.d/stall.conf").partition("listen 443 ssl http2;")[2]
    assert first.partition("server_name")[2].startswith(" stall.invalid;")
