"""A public name that an authority vouches for: it is served so from the first run on, and renewed under orders."""

from __future__ import annotations

import shlex
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import serving
from tests.e2e.inventories import own
from tests.e2e.load import Shop
from tests.e2e.web import Site
from tests.lab import authority
from tests.lab.authority import Authority
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.templates.acme_ground import LATER, PROGRAM

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1500)]

NAME, UNIT = "shop.test", "slipway-acme-shop.service"
CLIENTS, RATE, RENEWALS = 6, 50.0, 3


@dataclass(frozen=True)
class Named:
    """host: serves the name. playbooks: of an inventory that asks the authority."""

    host: Host
    asked: Authority
    site: Site
    playbooks: Playbooks

    def renew(self) -> str:
        """What the timer runs, when a third of the time is left by the program's clock."""
        return hosts.output(self.host, f"python3 -c {shlex.quote(LATER)} {PROGRAM} 1300 0")


@pytest.fixture(scope="module")
def resolved(lab: Lab) -> Iterator[None]:
    """This process finds the name at the host's address."""
    (host,) = lab.hosts.values()
    found: Callable[..., Any] = socket.getaddrinfo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            socket,
            "getaddrinfo",
            lambda name, *rest, **more: found(host.address if name == NAME else name, *rest, **more),
        )
        yield


@pytest.fixture(scope="module")
def named(lab: Lab, resolved: None) -> Iterator[Named]:
    """The bare host, with the authority on the lab's network."""
    (host,) = lab.hosts.values()
    hosts.made(host)
    if "bare" in host.snapshots():
        host.restore("bare")
    else:
        host.snapshot("bare")
    bridge = lab.site.network.address
    with authority.running(bridge, host.address) as asked:
        said = {
            "certificates_public_source": "acme",
            "acme_mail": "operations@shop.example",
            "acme_directory": asked.directory,
            "acme_authority": str(asked.known_by),
            "nginx_server_names": [NAME],
        }
        with own(lab.site.inventory, "asking", said) as inventory:
            yield Named(host, asked, Site(NAME, asked.known_by), Playbooks(inventory.folder))
    host.restore("bare")


@pytest.fixture(scope="module")
def served(named: Named) -> Named:
    """After one run."""
    named.playbooks.run("site.yml").succeeded()
    serving(named.host, named.site)
    return named


def test_one_run_ends_with_a_certificate_that_clients_of_the_authority_trust(served: Named) -> None:
    assert served.asked.orders() == 1
    assert served.site.get("/health/ready").status == 200
    assert served.host.run("systemctl is-enabled certbot.timer").stdout.strip() == "disabled"
    assert "slipway-acme-shop.timer" in hosts.output(served.host, "systemctl list-timers --no-legend")


def test_the_next_run_changes_nothing_and_nothing_is_wrong(served: Named) -> None:
    assert served.playbooks.run("site.yml").succeeded().changed == 0
    assert served.playbooks.run("playbooks/verify.yml").succeeded().changed == 0
    assert served.asked.orders() == 1


def test_renewals_under_orders_lose_none_and_end_no_process(served: Named) -> None:
    workers, orders = hosts.output(served.host, "pgrep -u www-data nginx"), served.asked.orders()
    shop = Shop(served.site, served.host, CLIENTS)
    shown = {served.site.certificate()}
    with tempfile.NamedTemporaryFile("w") as known:
        known.write(f"127.0.0.1 localhost\n{served.host.address} {NAME}\n")
        known.flush()
        load = shop.load(RATE)
        load.there = lambda argv: [
            "unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts; exec "$@"', known.name, *argv
        ]  # fmt: skip
        with load:
            for _ in range(RENEWALS):
                served.renew()
                shown.add(served.site.certificate())
    seen = load.seen.lost_nothing()
    print(f"{RENEWALS} renewals: {seen}, longest time nobody was served {seen.gap_ms():.0f} ms")

    assert len(shown) == RENEWALS + 1
    assert served.asked.orders() == orders + RENEWALS
    assert hosts.output(served.host, "pgrep -u www-data nginx") == workers
    assert shop.orders() == seen.placed


def test_a_renewal_that_fails_is_told_by_its_unit_and_by_whoever_looks(served: Named) -> None:
    shown = served.site.certificate()
    hosts.output(
        served.host,
        "sed -i.kept 's#^directory = .*#directory = https://127.0.0.1:9/dir#' /etc/slipway/shop/acme.conf",
    )
    hosts.refused(served.host, f"systemctl start {UNIT}")

    assert "https://127.0.0.1:9/dir gave no certificate for shop.test" in hosts.journal(served.host, UNIT)
    served.playbooks.run("playbooks/verify.yml").refused().says(f"{UNIT} has failed")
    assert served.site.certificate() == shown

    hosts.output(served.host, "cd /etc/slipway/shop && cp -p acme.conf.kept acme.conf && rm acme.conf.kept")
    hosts.output(served.host, f"systemctl start {UNIT}")
    assert served.playbooks.run("playbooks/verify.yml").succeeded().changed == 0


def test_a_host_made_anew_from_its_state_asks_for_nothing(served: Named) -> None:
    shown, orders = served.site.certificate(), served.asked.orders()
    state = hosts.output(served.host, "tar --create --gzip --directory=/etc letsencrypt | base64")
    served.host.restore("bare")
    hosts.output(served.host, "base64 --decode | tar --extract --gzip --directory=/etc", stdin=state)

    served.playbooks.run("site.yml").succeeded()

    assert served.site.certificate() == shown
    assert served.asked.orders() == orders


def test_a_run_of_this_part_alone_takes_no_pair_away_that_is_served(served: Named) -> None:
    shown, pair = served.site.certificate(), "ls /etc/ssl/slipway/acme.pem"
    another = {"certificates_public_source": "files"}
    served.playbooks.run("playbooks/edge.yml", "--tags", "acme", **another).succeeded()
    assert served.site.certificate() == shown
    served.playbooks.run("site.yml", **another).succeeded()
    assert served.host.run(pair).returncode != 0
    shows = f"openssl s_client -connect 127.0.0.1:443 -servername {NAME} </dev/null 2>&1 | openssl x509 -noout -issuer"
    issuer = hosts.output(served.host, shows)
    assert issuer.startswith("issuer=")
    assert "Pebble" not in issuer
