"""A host that is not fit for Slipway is refused with a sentence, before anything on it changes."""

from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks, Run
from tests.e2e.conftest import CONFIGURATION, Bare, serving
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.platforms import DEBIAN, UBUNTU

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

OLD_SYSTEM = "sed --in-place 's/^VERSION_ID=.*/VERSION_ID=\"11\"/' /usr/lib/os-release"
# The version of PostgreSQL that the platform has, whose package makes a cluster main, and another one.
OWN_VERSION = {UBUNTU: 14, DEBIAN: 15}
OTHER_VERSION = {UBUNTU: 15, DEBIAN: 14}
INSTALL_OWN = (
    "apt-get update --quiet && DEBIAN_FRONTEND=noninteractive "
    "apt-get install --quiet --yes --no-install-recommends postgresql-{own}"
)
# The host has only just booted: systemd may still be starting the cluster that is dropped here.
LOCALE_C = (
    "systemctl stop 'shop@*' && systemctl start postgresql@14-main && pg_dropcluster --stop 14 main"
    " && pg_createcluster 14 main --start --locale=C --encoding=UTF8"
)
# Who was there first: a program on the site's port, a cluster on the database's, two humans, a log server, a site, and
# an installation that was cut off.
NEIGHBOURS = """set -e
systemd-run --unit=somebody --quiet python3 -m http.server 80
useradd --create-home --comment 'Ada' --shell /bin/bash deploy
useradd --create-home --shell /bin/bash shop
mkdir -p /etc/nginx/sites-enabled
echo 'server {{}}' > /etc/nginx/sites-enabled/blog
printf 'http {{\\n}}\\nstream {{\\n}}\\n' > /etc/nginx/nginx.conf
echo 'input(type="imtcp" port="514")' >> /etc/rsyslog.conf
({install}) >/dev/null
pg_dropcluster --stop {own} main
pg_createcluster --port 5432 --start {own} legacy >/dev/null
sed --in-place '/^Package: passwd$/,/^$/ s/^Status: .*/Status: install ok half-configured/' /var/lib/dpkg/status
ss -Hltn 'sport = 80' | grep -q LISTEN || sleep 2
"""
# A host that Slipway's records do not know: for it, whoever uses this host is somebody else.
FOREIGN = """set -e
rm -r /var/lib/slipway/files
usermod --comment Ada deploy
mkdir -p /etc/nginx/sites-enabled
echo 'server {}' > /etc/nginx/sites-enabled/blog
runuser --user=postgres -- psql --quiet --command "CREATE ROLE crm LOGIN PASSWORD 'of-the-crm'" \\
  --command 'CREATE DATABASE crm OWNER crm'
sed --in-place '1i local crm crm scram-sha-256' /etc/postgresql/14/main/pg_hba.conf
systemctl reload postgresql@14-main
"""
COMES_IN = (
    "PGPASSWORD=of-the-crm psql --username=crm --dbname=crm --tuples-only --no-align --command='SELECT 1'"
)
TAKEOVER = {
    "nginx_takeover": True,
    "postgresql_takeover": True,
    "base_deploy_takeover": True,
    "postgresql_hba_extra": [{"type": "local", "database": "crm", "user": "crm", "method": "scram-sha-256"}],
}


@pytest.fixture
def bare_again(spoilt: Host, bare: Bare) -> Host:
    """The host as it was after its first boot."""
    spoilt.restore("bare")
    hosts.made(spoilt)
    return spoilt


@pytest.fixture
def serving_again(spoilt: Host, site: Site) -> Host:
    """The host as it was when it served first, whatever the test before this did to it."""
    spoilt.restore("serving")
    serving(spoilt, site)
    return spoilt


@pytest.fixture
def own_version(spoilt: Host) -> int:
    """The version of PostgreSQL that the host's own archive has."""
    return OWN_VERSION[spoilt.site.platform]


def refusal(host: Host, playbooks: Playbooks, **variables: Any) -> Run:
    """Run site.yml, which has to fail and to leave the host as it is."""
    before = hosts.files(host, *CONFIGURATION)
    run = playbooks.run("site.yml", **variables).refused()
    changes = hosts.differences(before, hosts.files(host, *CONFIGURATION))
    assert not changes, f"{changes}\n{run}"
    assert run.changed == 0, run
    return run


def test_a_system_nobody_tested_is_refused(bare_again: Host, playbooks: Playbooks) -> None:
    hosts.output(bare_again, OLD_SYSTEM)
    refusal(bare_again, playbooks).says(
        f"{bare_again.name} runs {bare_again.site.platform.about.split()[0]} 11",
        "which Slipway does not support. Supported: Ubuntu 22, Debian 12. Nothing was changed.",
    )


def test_a_cluster_of_another_version_is_left_alone(
    bare_again: Host, playbooks: Playbooks, own_version: int
) -> None:
    wanted = OTHER_VERSION[bare_again.site.platform]
    hosts.output(bare_again, INSTALL_OWN.format(own=own_version))
    refusal(bare_again, playbooks, postgresql_version=wanted).says(
        f"{bare_again.name} already has the cluster {own_version}/main where {wanted}/main is wanted.",
        "Slipway never replaces a cluster, and changes none while an upgrade is prepared",
        "Without one, set postgresql_version to the version that is there, or move the data",
    )
    assert hosts.output(bare_again, "pg_lsclusters --no-header").split()[:4] == [
        str(own_version),
        "main",
        "5432",
        "online",
    ]


def test_a_cluster_of_another_locale_is_left_alone(serving_again: Host, playbooks: Playbooks) -> None:
    hosts.output(serving_again, LOCALE_C)
    refusal(serving_again, playbooks).says(
        f"The cluster 14/main of {serving_again.name} was created with C UTF8 where C.UTF-8 UTF8 is wanted.",
        "Either set postgresql_locale to what is there, or dump, drop (pg_dropcluster) and restore into a new one.",
    )
    assert hosts.output(serving_again, "pg_lsclusters --no-header").split()[:4] == [
        "14",
        "main",
        "5432",
        "online",
    ]


def test_whoever_was_there_first_is_named_at_once_and_left_alone(
    bare_again: Host, playbooks: Playbooks, own_version: int
) -> None:
    install = INSTALL_OWN.format(own=own_version)
    hosts.output(bare_again, NEIGHBOURS.format(install=install, own=own_version))
    run = refusal(bare_again, playbooks)
    run.says(
        f"{bare_again.name} has what is not Slipway's, and nothing is taken over unasked.",
        "dpkg began and did not finish passwd, and nothing is at it now",
        "run dpkg --configure -a there",
        "somebody.service) listens on 0.0.0.0:80, which nginx needs for the public site: "
        "systemctl disable --now somebody.service.",
        "not Slipway's: /etc/nginx/sites-enabled/blog, /etc/nginx/nginx.conf (with stream {}).",
        f"The PostgreSQL cluster {own_version}/legacy has port 5432 (it runs), which is to be 14/main's",
        'by /etc/rsyslog.conf (input(type="imtcp" port="514"))',
        "There is a user deploy (uid 100",
        "There is a user shop (uid 100",
        "Nothing was changed.",
    )
    assert "listens on 0.0.0.0:514" not in run.said


def test_a_cluster_that_others_use_is_taken_over_only_with_their_way_in(
    serving_again: Host, site: Site, playbooks: Playbooks
) -> None:
    hosts.output(serving_again, FOREIGN)
    refusal(serving_again, playbooks).says(
        "The PostgreSQL cluster 14/main has the databases crm, shop and access rules of its own "
        "(local crm crm scram-sha-256;",
        "set postgresql_takeover: true and say in postgresql_hba_extra who else comes in",
        "/etc/nginx/sites-enabled/blog",
        "There is a user deploy",
    )
    assert hosts.output(serving_again, COMES_IN) == "1"

    playbooks.run("site.yml", **TAKEOVER).succeeded()

    assert hosts.output(serving_again, COMES_IN) == "1"
    assert "authentication failed" in hosts.refused(
        serving_again, COMES_IN.replace("of-the-crm", "of-nobody")
    )
    assert site.get("/health/ready").status == 200
    assert hosts.output(serving_again, "cat /etc/nginx/sites-enabled/blog") == "server {}"
    again = playbooks.run("site.yml", **TAKEOVER).succeeded()
    assert again.changed == 0, again


def test_what_somebody_edited_is_kept_and_told(serving_again: Host, playbooks: Playbooks) -> None:
    hosts.output(serving_again, "echo '# mine' >> /etc/nginx/nginx.conf")

    run = playbooks.run("site.yml", "--tags", "nginx").succeeded()

    run.says(
        "/etc/nginx/nginx.conf was not as Slipway had left it; what stood there is kept as /var/lib/slipway/replaced"
    )
    assert "# mine" in hosts.output(serving_again, "cat /var/lib/slipway/replaced/etc/nginx/nginx.conf.*")
