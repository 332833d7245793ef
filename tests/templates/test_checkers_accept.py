"""What a host gets is accepted by the daemons that read it, in the versions of its platform."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.templates import checkers
from tests.templates.conftest import RELEASE, Trees
from tests.templates.rendering import CASES, HostTree

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root mounts the view in which the checkers run"
)

HOSTS = [(case.name, host) for case in CASES for host in case.hosts]
every_host = pytest.mark.parametrize(("case", "host"), HOSTS, ids=["/".join(pair) for pair in HOSTS])

NGINX = ("nginx", "-t")
RSYSLOG = ("rsyslogd", "-N1")
SUDO = ("visudo", "-c")
LOGROTATE = ("logrotate", "--debug", "/etc/logrotate.d/shop")
UNIT_NAMES = ("shop", "shop-migrate", "shop-backfill", "shop-backfill-ask")
UNITS = (
    *(f"/etc/systemd/system/{name}@{RELEASE}.service" for name in UNIT_NAMES),
    # Its instances have a colon, which the checker takes for its own.
    f"/etc/systemd/system/shop-process@{RELEASE}.service",
    "/etc/systemd/system/shop-task@purge.service",
)
BACKUPS = tuple(
    f"/etc/systemd/system/slipway-{name}-shop.{kind}"
    for name in ("backup", "restore-test")
    for kind in ("service", "timer")
)
SYSTEMD = ("systemd-analyze", "verify", "--man=no", *UNITS)


def check(suite: str, layers: list[Path], *command: str) -> subprocess.CompletedProcess[str]:
    """checkers.check, or a skip that says why a platform's own versions cannot be had here."""
    if reason := checkers.unavailable(suite):
        pytest.skip(reason)
    return checkers.check(suite, layers, *command)


def accepted(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the checker took the files; systemd ends well and names the lines that it ignores."""
    return done.returncode == 0 and "/etc/systemd/system/shop" not in done.stdout


@every_host
def test_nginx_listens_on_what_the_kernel_has(trees: Trees, case: str, host: str) -> None:
    tree = trees[case, host]
    if tree.has("etc/nginx/conf.d/shop.conf"):
        lines = tree.text("etc/nginx/conf.d/shop.conf").splitlines()
        found = [line.split()[1].rpartition(":")[0] for line in lines if line.strip().startswith("listen ")]
        assert set(found) == {"", *([] if tree.case.everything else ["[::]"])}


@every_host
def test_nginx_takes_its_files(trees: Trees, certificates: Path, case: str, host: str) -> None:
    tree = trees[case, host]
    if not tree.has("etc/nginx/nginx.conf"):
        assert re.search("db|logs|watch", host), f"{host} answers HTTP and gets no nginx"
        return
    done = check(tree.case.suite, [tree.root, certificates], *NGINX)

    assert done.returncode == 0, done.stdout
    assert "test is successful" in done.stdout
    assert "[warn]" not in done.stdout, done.stdout


@every_host
def test_rsyslog_takes_its_files(trees: Trees, certificates: Path, case: str, host: str) -> None:
    tree = trees[case, host]

    done = check(tree.case.suite, [tree.root, certificates], *RSYSLOG)

    assert done.returncode == 0, done.stdout
    assert not re.search(r"\b(error|warning)\b", done.stdout, re.IGNORECASE), done.stdout


@every_host
def test_sudo_takes_its_rules_and_gives_deploy_no_more(trees: Trees, case: str, host: str) -> None:
    tree = trees[case, host]

    done = check(tree.case.suite, [tree.root], *SUDO)
    listed = check(tree.case.suite, [tree.root], "sudo", "-l", "-U", "deploy")

    assert done.returncode == 0, done.stdout
    assert "/etc/sudoers.d/slipway: parsed OK" in done.stdout
    names = ("look-at-postgresql", "look-at-postgresql-files")
    looks = [f'    (postgres) NOPASSWD: /usr/local/lib/slipway/shop/{name} ""' for name in names]
    by_hand = ["    (slipway_backup) NOPASSWD: /usr/local/lib/slipway/database-backup"]
    if tree.has("etc/slipway/shop/database-upgrade.conf"):
        by_hand.append("    (root) NOPASSWD: /usr/local/lib/slipway/database-upgrade")
    if tree.has("etc/slipway/shop/physical-backup.conf"):
        by_hand.append("    (postgres) NOPASSWD: /usr/local/lib/slipway/physical-backup")
    # Older ones show the empty argument with backslashes.
    assert re.findall(r"^ +\(.*", listed.stdout.replace("\\", ""), re.MULTILINE) == [
        "    (root) NOPASSWD: /usr/local/sbin/slipway",
        "    (root) NOPASSWD: /usr/local/lib/slipway/look-at-host shop",
        *([*looks, *by_hand] if tree.has("usr/local/lib/slipway/shop/look-at-postgresql") else []),
    ], listed.stdout


@every_host
def test_systemd_takes_the_units_word_for_word(trees: Trees, release: Path, case: str, host: str) -> None:
    tree = trees[case, host]
    if not tree.has("etc/systemd/system/shop@.service"):
        assert re.search("db|logs|edge|watch", host), f"{host} runs the service and gets no unit"
        return
    done = check(tree.case.suite, [tree.root, release], *SYSTEMD)

    assert accepted(done), done.stdout


@every_host
def test_systemd_takes_the_backups_units(trees: Trees, release: Path, case: str, host: str) -> None:
    tree = trees[case, host]
    if not tree.has("etc/systemd/system/slipway-backup-shop.timer"):
        assert not re.search("db|shop-1", host), f"{host} has the database and gets no backup"
        return
    done = check(tree.case.suite, [tree.root, release], "systemd-analyze", "verify", "--man=no", *BACKUPS)

    assert done.returncode == 0, done.stdout
    assert "/etc/systemd/system/slipway" not in done.stdout, done.stdout


MONITORED = [pair for pair in HOSTS if pair[0].startswith("monitored")]


@pytest.mark.parametrize(("case", "host"), MONITORED, ids=["/".join(pair) for pair in MONITORED])
def test_systemd_takes_what_tells_metrics(trees: Trees, release: Path, case: str, host: str) -> None:
    tree = trees[case, host]
    names = ["metrics", *(["database-status"] if host == "seen-1" else [])]
    units = [
        f"/etc/systemd/system/slipway-{name}-shop.{kind}" for name in names for kind in ("service", "timer")
    ]
    done = check(tree.case.suite, [tree.root, release], "systemd-analyze", "verify", "--man=no", *units)

    assert done.returncode == 0, done.stdout
    assert "/etc/systemd/system/slipway" not in done.stdout, done.stdout


@pytest.mark.parametrize("platform", ["Debian-12", "Ubuntu-22"])
def test_systemd_takes_the_tunnel_of_the_lines(trees: Trees, release: Path, platform: str) -> None:
    tree = trees[f"fleet-{platform}", "app-1"]
    unit = "/etc/systemd/system/slipway-relp-tunnel.service"
    done = check(tree.case.suite, [tree.root, release], "systemd-analyze", "verify", "--man=no", unit)

    assert done.returncode == 0, done.stdout
    assert "/etc/systemd/system/slipway" not in done.stdout, done.stdout


@every_host
def test_logrotate_takes_its_rule(trees: Trees, case: str, host: str) -> None:
    tree = trees[case, host]

    done = check(tree.case.suite, [tree.root], *LOGROTATE)

    assert done.returncode == 0, done.stdout
    assert "error" not in done.stdout, done.stdout


@every_host
def test_apt_takes_its_settings_and_sources(trees: Trees, case: str, host: str) -> None:
    tree = trees[case, host]

    settings = check(tree.case.suite, [tree.root], "apt-config", "dump")
    sources = check(tree.case.suite, [tree.root], "apt-get", "--print-uris", "update")

    assert settings.returncode == 0, settings.stdout
    assert f'DPkg::Lock::Timeout "{77 if tree.case.everything else 120}";' in settings.stdout
    assert sources.returncode == 0, sources.stdout
    assert not re.search(r"^[EW]:", settings.stdout + sources.stdout, re.MULTILINE), sources.stdout
    assert "/InRelease'" in sources.stdout, sources.stdout


@every_host
def test_the_hosts_own_name_and_its_neighbours_resolve_without_a_resolver(
    trees: Trees, case: str, host: str
) -> None:
    tree = trees[case, host]

    for name in (*tree.case.hosts, "localhost"):
        done = check(tree.case.suite, [tree.root], "getent", "-s", "files", "hosts", name)
        assert done.returncode == 0, f"{name} does not resolve with\n{tree.text('etc/hosts')}"


@every_host
def test_locales_and_timezone_exist(trees: Trees, case: str, host: str) -> None:
    tree = trees[case, host]
    supported = check(tree.case.suite, [tree.root], "cat", "/usr/share/i18n/SUPPORTED").stdout.splitlines()
    wanted = [line for line in tree.text("etc/locale.gen").splitlines() if line and not line.startswith("#")]
    zone = tree.text("etc/timezone").strip()

    assert set(wanted) <= set(supported), wanted
    assert check(tree.case.suite, [tree.root], "test", "-f", f"/usr/share/zoneinfo/{zone}").returncode == 0, (
        zone
    )


@every_host
def test_every_script_is_a_script(trees: Trees, case: str, host: str) -> None:
    tree = trees[case, host]
    scripts = [path for path in tree.paths() if tree.text(path).startswith("#!/bin/sh\n")]

    for path in scripts:
        done = check(tree.case.suite, [tree.root], "sh", "-n", f"/{path}")
        assert done.returncode == 0, f"/{path}: {done.stdout}"
        assert (tree.root / path).stat().st_mode & 0o111, f"/{path} is not executable"
    programs = ["look-at-postgresql"] if has_database(tree) else []
    assert scripts == [f"usr/local/lib/slipway/shop/{program}" for program in programs]


def has_database(tree: HostTree) -> bool:
    return any(path.startswith("etc/postgresql/") for path in tree.paths())


Spoil = Callable[[str], str]
# For each checker: a file, and an error in it that a wrong template could make.
SPOILED: dict[str, tuple[str, Spoil, tuple[str, ...]]] = {
    "nginx": (
        "etc/nginx/conf.d/shop.conf",
        lambda text: text.replace("limit_req_status", "limit_reqs"),
        NGINX,
    ),
    "nginx's certificate": (
        "etc/nginx/snippets/slipway-tls.conf",
        lambda text: text + "ssl_dhparam /no;\n",
        NGINX,
    ),
    "rsyslog": (
        "etc/rsyslog.d/10-shop.conf",
        lambda text: text.replace('type="omfile"', 'type="omfiles"'),
        RSYSLOG,
    ),
    "sudo": ("etc/sudoers.d/slipway", lambda text: text + "deploy ALL=(root) NOPASSWD ; /bin/sh\n", SUDO),
    "logrotate": ("etc/logrotate.d/shop", lambda text: text.replace("rotate 14", "rotate many"), LOGROTATE),
    "apt": ("etc/apt/apt.conf.d/90slipway", lambda text: text + 'Broken { "', ("apt-config", "dump")),
    "apt's sources": (
        "etc/apt/sources.list",
        lambda text: text + "deb [ nowhere\n",
        ("apt-get", "indextargets"),
    ),
    "systemd": (
        "etc/systemd/system/shop@.service",
        lambda text: text.replace("Type=notify", "Type=notified"),
        SYSTEMD,
    ),
}


@pytest.mark.parametrize("suite", ["bullseye", "bookworm"])
@pytest.mark.parametrize("checker", SPOILED)
def test_every_checker_reads_the_rendered_files(
    trees: Trees, certificates: Path, release: Path, tmp_path: Path, suite: str, checker: str
) -> None:
    path, spoil, command = SPOILED[checker]
    tree = trees["lab-Ubuntu-22", "shop-1"]
    spoiled = spoil(tree.text(path))
    assert spoiled != tree.text(path)
    (tmp_path / path).parent.mkdir(parents=True)
    shutil.copy2(tree.root / path, tmp_path / path)
    (tmp_path / path).write_text(spoiled, encoding="utf-8")

    layers = [tree.root, certificates, release]
    assert accepted(check(suite, layers, *command))
    done = check(suite, [tmp_path, *layers], *command)

    assert not accepted(done), f"{checker} was content with a spoiled {path}:\n{done.stdout}"
