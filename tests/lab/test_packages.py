"""PostgreSQL 14 on a lab host comes from an archive and behaves as Debian's own packages do."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.lab import archive
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.network import Network

pytestmark = pytest.mark.lab

APT = "DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes --no-install-recommends"


def add_archive(host: Host) -> None:
    """Add the lab's archive to a host's sources, as a role would."""
    network = host.site.network
    host.run("cat > /etc/apt/keyrings/lab.asc", stdin=host.site.archive_key.read_text(), check=True)
    source = f"deb [signed-by=/etc/apt/keyrings/lab.asc] {network.url}/archive {archive.SUITE} main"
    host.run("cat > /etc/apt/sources.list.d/lab.list", stdin=source + "\n", check=True)
    host.run(f"{APT} update", check=True)


def downloads(network: Network) -> list[str]:
    """Return every package that the cache has fetched from upstream so far."""
    configuration = (network.folder / "apt-cacher-ng/acng.conf").read_text()
    log = next(line.split()[1] for line in configuration.splitlines() if line.startswith("LogDir:"))
    lines = (Path(log) / "apt-cacher.log").read_text().splitlines()
    return [line for line in lines if line.split("|")[1] == "I" and line.endswith(".deb")]


@pytest.fixture(scope="module")
def installed(lab: Lab) -> Lab:
    """Return the lab with PostgreSQL on test-1 as it comes, and on test-2 told to make no cluster."""
    for host in lab.hosts.values():
        add_archive(host)
    configuration = "/etc/postgresql-common/createcluster.conf"
    second = lab.host("test-2")
    second.run(
        f"mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' > {configuration}", check=True
    )
    lab.host("test-1").run(f"{APT} install postgresql-14", check=True)
    before = downloads(lab.site.network)
    assert before != [], "the package cache has no record of what it fetched"
    second.run(f"{APT} -o Dpkg::Options::=--force-confold install postgresql-14", check=True)
    assert downloads(lab.site.network) == before, "a second host must download nothing"
    return lab


def test_installing_makes_and_starts_the_cluster_main(installed: Lab) -> None:
    host = installed.host("test-1")
    assert host.run("pg_lsclusters --no-header").stdout.split()[:4] == ["14", "main", "5432", "online"]
    shown = host.run("cd / && runuser -u postgres -- psql -At -c 'SHOW server_version'", check=True).stdout
    assert shown == "14.23\n"


def test_the_contributed_extensions_are_there(installed: Lab) -> None:
    extensions = ("pg_stat_statements", "pgcrypto", "pg_trgm")
    sql = "".join(f"CREATE EXTENSION {name}; " for name in extensions) + "SELECT digest('a', 'md5')"
    done = installed.host("test-1").run(f'cd / && runuser -u postgres -- psql -v ON_ERROR_STOP=1 -c "{sql}"')
    assert done.returncode == 0, done.stderr


def test_a_host_told_to_make_no_cluster_has_none_until_it_is_made(installed: Lab) -> None:
    host = installed.host("test-2")
    assert host.run("pg_lsclusters --no-header", check=True).stdout == ""
    host.run(
        "pg_createcluster 14 main --start --locale=C.UTF-8 --encoding=UTF8 -- --data-checksums", check=True
    )
    shown = host.run("cd / && runuser -u postgres -- psql -At -c 'SHOW data_checksums'", check=True).stdout
    assert shown == "on\n"


def test_dumps_of_the_cluster_are_made_by_its_own_wrappers(installed: Lab) -> None:
    done = installed.host("test-1").run("cd / && runuser -u postgres -- pg_dump --cluster 14/main postgres")
    assert done.returncode == 0, done.stderr
    assert "PostgreSQL database dump complete" in done.stdout


def test_a_reboot_starts_the_cluster_again(installed: Lab) -> None:
    host = installed.host("test-1")
    host.reboot()
    host.run("systemctl is-system-running --wait")
    assert host.run("pg_lsclusters --no-header").stdout.split()[3] == "online", host.console_tail()


def test_purging_the_package_removes_the_cluster(installed: Lab) -> None:
    host = installed.host("test-1")
    host.run(f"{APT} purge postgresql-14", check=True)
    assert host.run("pg_lsclusters --no-header", check=True).stdout == ""
    assert host.run("test -e /var/lib/postgresql/14/main").returncode == 1


def test_an_archive_that_was_tampered_with_is_refused(installed: Lab) -> None:
    host = installed.host("test-2")
    host.run("sed -i 's/lab.asc/other.asc/' /etc/apt/sources.list.d/lab.list", check=True)
    host.run("cp /usr/share/keyrings/debian-archive-keyring.gpg /etc/apt/keyrings/other.asc", check=True)
    refused = host.run(f"{APT} update -o APT::Update::Error-Mode=any")
    assert refused.returncode != 0
    assert "bookworm-lab" in refused.stdout + refused.stderr


def test_the_same_programs_run_without_being_installed(tmp_path_factory: pytest.TempPathFactory) -> None:
    programs = archive.ensure().programs
    data = tmp_path_factory.mktemp("data")
    other_user = 65534 if os.geteuid() == 0 else os.geteuid()
    for folder in (data, *data.parents[:2]):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            folder.chmod(0o755)
    os.chown(data, other_user, -1)
    made = subprocess.run(
        [programs / "initdb", "--pgdata", data / "cluster", "--auth", "trust", "--no-sync"],
        user=other_user,
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert (data / "cluster/PG_VERSION").read_text() == "14\n"
