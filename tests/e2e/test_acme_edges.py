"""Two edges of one public name, and an authority whose questions come to the second: each has its certificate."""

from __future__ import annotations

import contextlib
import http.client
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e import hosts, inventories
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.lab import authority
from tests.lab.authority import Authority
from tests.lab.host import Host
from tests.templates.acme_ground import LATER, PROGRAM

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1500)]

INVENTORY, NAME = "test-edges", "shop.test"
SECOND, ADDRESS = "edge-2", "10.83.7.14"
TOKEN = "/.well-known/acme-challenge/{}"


@dataclass(frozen=True)
class Edges:
    """one: serves, and is an edge. two: is an edge alone, and the name leads there."""

    one: Host
    two: Host
    asked: Authority
    playbooks: Playbooks

    def shown(self, host: Host) -> str:
        """The fingerprint of what clients of the authority are shown, who trust it."""
        asks = f"openssl s_client -connect 127.0.0.1:443 -servername {NAME} -verify_hostname {NAME}"
        trusts = "-verify_return_error -CAfile /etc/ssl/slipway/acme-ca.pem"
        return hosts.output(host, f"{asks} {trusts} </dev/null | openssl x509 -noout -fingerprint")

    def answer(
        self, host: Host, token: str, method: str = "GET", body: bytes | None = None
    ) -> tuple[int, str]:
        """Status and body of a question on port 80."""
        with contextlib.closing(http.client.HTTPConnection(host.address, timeout=30)) as connection:
            connection.request(method, TOKEN.format(token), body, {"Host": NAME})
            said = connection.getresponse()
            return said.status, said.read().decode()


@pytest.fixture(scope="module")
def edges() -> Iterator[Edges]:
    """Both from bare, after one run."""
    with inventories.own(ROOT / "inventory/spare", INVENTORY, {}) as inventory:
        (inventory.folder / "edges.yml").write_text(
            f"edge:\n  hosts:\n    {SECOND}:\n      ansible_host: {ADDRESS}\n"
        )
        with (
            inventories.booted(inventory) as lab,
            authority.running(lab.site.network.address, ADDRESS) as asked,
        ):
            inventory.says(
                {
                    "certificates_public_source": "acme",
                    "acme_mail": "operations@shop.example",
                    "acme_directory": asked.directory,
                    "acme_authority": str(asked.known_by),
                    "nginx_server_names": [NAME],
                }
            )
            playbooks = Playbooks(inventory.folder)
            playbooks.run("site.yml").succeeded()
            yield Edges(lab.host("spare-1"), lab.host(SECOND), asked, playbooks)


def test_one_run_ends_with_a_certificate_on_each(edges: Edges) -> None:
    assert edges.asked.orders() == 2
    assert edges.shown(edges.one) != edges.shown(edges.two)
    assert edges.playbooks.run("site.yml").succeeded().changed == 0
    edges.playbooks.run("playbooks/verify.yml").succeeded()
    assert edges.asked.orders() == 2


def test_a_question_that_comes_to_the_other_is_answered_and_one_of_nobodys_is_not(edges: Edges) -> None:
    folder = "/var/lib/slipway/shop/acme/.well-known/acme-challenge"
    hosts.output(edges.one, f"mkdir -p {folder} && printf answer >{folder}/asked")
    for host in (edges.one, edges.two):
        assert edges.answer(host, "asked") == (200, "answer")
        for wrong in ("nobodys", "../../acme.json", "..%2f..%2facme.json"):
            status, said = edges.answer(host, wrong)
            assert status in (308, 400, 404), said
        # What else a client sends stays on the host that it came to.
        assert edges.answer(host, "nobodys", "POST", b"body")[0] in (404, 405)


def test_an_edge_renews_through_the_other_and_without_it_its_own_stays(edges: Edges) -> None:
    before, other = edges.shown(edges.one), edges.shown(edges.two)
    renew = f"python3 -c {shlex.quote(LATER)} {PROGRAM} 1300 0"
    hosts.output(edges.two, "systemctl stop nginx")
    assert "it could not reach port 80 of this name" in hosts.refused(edges.one, renew)
    assert edges.shown(edges.one) == before
    hosts.output(edges.two, "systemctl start nginx")
    hosts.output(edges.one, renew)
    assert edges.shown(edges.one) != before
    # One that is away does not keep the other from renewing, which is asked itself.
    edges.one.kill()
    hosts.output(edges.two, renew)
    assert edges.shown(edges.two) != other
    edges.one.up()
