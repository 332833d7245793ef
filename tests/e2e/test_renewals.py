"""A public certificate that is renewed while customers order: the next client sees it, and nobody is cut."""

from __future__ import annotations

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import site_of
from tests.e2e.ground import ground_of
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(3000)]

RENEWALS = 10
ORDERS = 30_000
# Orders a second; nginx refuses one address more than a hundred.
RATE = 90.0


def test_ten_renewals_under_thirty_thousand_orders_lose_none(
    spoilt: Host, site: Site, lab: Lab, playbooks: Playbooks
) -> None:
    ground = ground_of(lab, site)
    shop, workers = ground.shop(), hosts.output(spoilt, "pgrep -u www-data nginx")
    issued = site_of(lab).ca.parent / f"{spoilt.name}.pem"
    shown = {site.certificate()}
    with shop.load(RATE) as load:
        for _ in range(RENEWALS):
            issued.unlink()
            playbooks.run("site.yml", "--tags", "certificates").succeeded()
            shown.add(site.certificate())
        hosts.until("as many have ordered", lambda: shop.orders() >= ORDERS, seconds=1200)
    seen = load.seen.lost_nothing()
    print(f"{RENEWALS} renewals: {seen}, longest time nobody was served {seen.gap_ms():.0f} ms")

    assert seen.placed >= ORDERS
    assert len(shown) == RENEWALS + 1
    assert hosts.output(spoilt, "pgrep -u www-data nginx") == workers
    assert playbooks.run("playbooks/verify.yml").succeeded().changed == 0
