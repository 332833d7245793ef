"""Two operators, one host: two runs at once do not harm it."""

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import serving
from tests.e2e.web import Site
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

# Packages of three roles and files of four are missing, and both runs write. PostgreSQL needs none of them: its own
# package would go along, and take the data with it.
SPOIL = (
    "DEBIAN_FRONTEND=noninteractive apt-get purge --quiet --yes rsyslog python3-venv unattended-upgrades && "
    "rm --recursive --force /etc/rsyslog.d /etc/nginx/conf.d /etc/sudoers.d/slipway /etc/shop/shop.env && "
    "pg_lsclusters --no-header | grep online"
)


def test_two_runs_at_once_both_end_well_and_the_next_finds_nothing_to_do(
    spoilt: Host, site: Site, playbooks: Playbooks
) -> None:
    hosts.output(spoilt, SPOIL)
    started = [playbooks.start("site.yml"), playbooks.start("site.yml")]
    first, second = (run.wait() for run in started)
    first.succeeded()
    second.succeeded()
    again = playbooks.run("site.yml").succeeded()
    assert again.changed == 0, again
    serving(spoilt, site)
