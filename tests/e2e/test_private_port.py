"""Edges and app hosts of a fleet that serves come to prove themselves to each other, and every order is whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import AS_IS, boot, site_of
from tests.e2e.ground import CLIENTS, RATE, Ground, ground_of
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]

# The two runs that change something; each of them may reload the edge.
RELOADS_OF_THE_EDGE = 2
# As Slipway left them before: no certificate is shown, and none is asked for.
EDGE_BEFORE = """file=/etc/nginx/conf.d/shop.conf
sed --in-place '/proxy_ssl_certificate/d' $file && systemctl reload nginx"""
APP_BEFORE = r"""file=/etc/nginx/conf.d/shop-private.conf
sed --in-place '/ssl_verify_client\|ssl_client_certificate/d; s/"1 SUCCESS"/"~^1 "/' $file && systemctl reload nginx"""


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """An edge, two app hosts, a database, all serving."""
    for lab in boot("SLIPWAY_E2E_FLEET", "inventory/fleet"):
        if not AS_IS:
            Playbooks(lab.site.inventory).run("site.yml").succeeded()
        yield ground_of(lab, site_of(lab))


def answers(edge: Host, app: Host, shown: bool) -> object:
    return hosts.python(edge, "fetch.py", address=app.address, path="/health/live", shown=shown)


def test_a_fleet_comes_to_ask_for_certificates_in_two_runs_and_each_order_is_whole(ground: Ground) -> None:
    (edge,) = (ground.lab.host(name) for name in ground.lab.groups["edge"])
    playbooks, shop = Playbooks(ground.lab.site.inventory), ground.shop()
    assert [answers(edge, app, shown) for app in ground.app_hosts for shown in (True, False)] == [
        200,
        403,
    ] * 2
    for app in ground.app_hosts:
        hosts.output(app, APP_BEFORE)
    hosts.output(edge, EDGE_BEFORE)

    with shop.load(RATE) as load:
        playbooks.run("playbooks/edge.yml").succeeded()
        assert [answers(edge, app, shown=False) for app in ground.app_hosts] == [200, 200]
        playbooks.run("playbooks/edge.yml").succeeded()
        assert [answers(edge, app, shown=False) for app in ground.app_hosts] == [403, 403]
        assert playbooks.run("playbooks/edge.yml").succeeded().changed == 0
    seen = load.seen
    assert not seen.wrong, f"{seen}\n{seen.wrong[:5]}"
    # A reload of nginx closes the connections that customers keep; a request on its way into one was never read.
    assert len(seen.losses) <= CLIENTS * RELOADS_OF_THE_EDGE, f"{seen}\n{seen.losses[:5]}"
    assert not [loss for loss in seen.losses if loss.refused], seen.losses
    assert shop.orders() == seen.placed, f"{shop.orders()} orders are in the database; {seen}"
