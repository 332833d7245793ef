"""nginx reaches the service by a group of the sockets' own; a host that serves by the old one gets there uncut."""

from __future__ import annotations

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.ground import RATE, Ground, ground_of, new_release, slipway
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(600)]

# As Slipway left a host before.
BEFORE = """sed --in-place 's/^Group=shop-http$/Group=shop/' /etc/systemd/system/shop@.service
systemctl daemon-reload
gpasswd --add www-data shop
gpasswd --delete www-data shop-http
groupdel shop-http
systemctl restart {unit} nginx"""


@pytest.fixture(scope="module")
def ground(spoilt: Host, lab: Lab, site: Site) -> Ground:
    """One host that serves."""
    return ground_of(lab, site)


def of_nginx(host: Host) -> set[str]:
    """The further groups of nginx's user."""
    return set(hosts.output(host, "id --name --groups www-data").split()) - {"www-data"}


def test_a_host_that_serves_gets_to_the_sockets_own_group_without_a_lost_request(
    ground: Ground, playbooks: Playbooks, site: Site
) -> None:
    host, shop, (bundle, new) = ground.first, ground.shop(), new_release(ground)
    hosts.output(host, BEFORE.format(unit=hosts.live_unit(host)))
    hosts.until("it serves", site.ready, seconds=60)
    assert of_nginx(host) == {"shop"}

    with shop.load(RATE) as load:
        playbooks.run("site.yml").succeeded()
        assert of_nginx(host) == {"shop", "shop-http"}
        assert playbooks.run("site.yml").succeeded().changed == 0
        ground.fab.deploy(bundle, bake=3).ended(0, f"{new} is live", "lost=0")
        warm = slipway(host, "status")["warm"]["release"]
        hosts.output(host, f"systemctl stop shop@{warm}")
        playbooks.run("site.yml").succeeded()
        assert of_nginx(host) == {"shop-http"}
        assert playbooks.run("site.yml").succeeded().changed == 0
    load.seen.lost_nothing()
    assert "Permission denied" in hosts.refused(host, "runuser --user=www-data -- cat /etc/shop/shop.env")
