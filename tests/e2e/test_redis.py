"""The service's cache on a host of its own, over TLS both ways: there, away, back, retired, and no customer minds."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e import hosts, inventories
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.ground import RATE, ground_of
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1200)]

NAME, ADDRESS = "test-redis", "10.83.7.14"
LOGIN = "AUTH shop {password}"


@dataclass
class Cached:
    """A host that serves, and one that is its cache."""

    lab: Lab
    playbooks: Playbooks
    site: Site
    inventory: inventories.Own
    secret: str

    @property
    def server(self) -> Host:
        return self.lab.host("spare-1")

    @property
    def cache(self) -> Host:
        return self.lab.host("cache-1")

    def ask(self, host: Host, *lines: str, shown: bool = True) -> Any:
        return hosts.python(host, "redis_ask.py", address=self.cache.address, lines=lines, shown=shown)

    def is_said(self, health: str) -> None:
        """Wait until the service says this of its cache, which it knows by using it; it is healthy itself."""
        hosts.until(f"its cache is {health}", lambda: self.health() == health, seconds=30, show=self.health)

    def connections(self) -> int:
        return int(hosts.output(self.cache, "ss -Htn state established '( sport = :6379 )' | wc -l"))

    def health(self) -> str:
        assert self.site.get("/api/v1/products/categories").status == 200
        said = self.site.get("/health")
        assert said.status == 200, said
        return str(said.json()["redis"])


@pytest.fixture(scope="module")
def cached() -> Iterator[Cached]:
    """The two, from bare."""
    secret = secrets.token_urlsafe(24)
    with inventories.own(ROOT / "inventory/spare", NAME, {"vault_redis_password": secret}) as inventory:
        members = f"redis:\n  hosts:\n    cache-1:\n      ansible_host: {ADDRESS}\n"
        (inventory.folder / "redis.yml").write_text(members)
        authority = ROOT / ".lab/generated" / inventory.base / "pki/ca.pem"
        with inventories.booted(inventory) as lab:
            playbooks = Playbooks(inventory.folder)
            playbooks.run("site.yml").succeeded()
            yield Cached(lab, playbooks, Site(lab.address("edge"), authority), inventory, secret)


def test_the_service_has_its_cache_over_tls_and_a_second_run_changes_nothing(cached: Cached) -> None:
    cached.is_said("healthy")
    hosts.until("both workers ask it", lambda: cached.health() and cached.connections() >= 2, seconds=30)
    assert cached.playbooks.run("site.yml").succeeded().changed == 0
    cached.playbooks.run("playbooks/verify.yml").succeeded()


def test_whoever_has_no_certificate_no_password_or_another_wish_is_refused(cached: Cached) -> None:
    assert cached.ask(cached.server, LOGIN, "PING") == ["+OK", "+PONG"]
    # TLS ends it after the handshake: no answer, or a connection that is cut.
    assert cached.ask(cached.server, LOGIN, shown=False) in ([""], "SSLError", "ConnectionResetError")
    guessed = cached.ask(cached.server, "PING", "AUTH shop guessed")
    assert [answer.partition(" ")[0] for answer in guessed] == ["-NOAUTH", "-WRONGPASS"], guessed
    refused = cached.ask(cached.server, LOGIN, "SET foreign:1 x", "FLUSHALL", "CONFIG GET requirepass")
    assert [answer.partition(" ")[0] for answer in refused] == ["+OK", *["-NOPERM"] * 3], refused
    words = hosts.output(
        cached.cache, "cat /etc/slipway/shop/redis.acl; tr '\\0' ' ' </proc/$(pidof redis-server)/cmdline"
    )
    assert cached.secret not in words


def test_without_it_customers_are_served_and_the_next_run_brings_it_back(cached: Cached) -> None:
    shop = ground_of(cached.lab, cached.site).shop()
    with shop.load(RATE / 2) as load:
        hosts.output(cached.cache, "systemctl stop redis-server")
        cached.is_said("unhealthy")
        cached.playbooks.run("playbooks/verify.yml").refused().says("journalctl -u redis-server on cache-1")
        assert cached.playbooks.run("site.yml").succeeded().changed == 1
        cached.is_said("healthy")
        cached.cache.kill()
        cached.is_said("unhealthy")
        cached.cache.up()
        cached.is_said("healthy")
    load.seen.lost_nothing()


def test_another_password_is_in_force_after_the_next_release(cached: Cached) -> None:
    another = secrets.token_urlsafe(24)
    cached.inventory.says({"vault_redis_password": another})
    shop = ground_of(cached.lab, cached.site).shop()
    with shop.load(RATE / 2) as load:
        cached.playbooks.run("site.yml").succeeded()
        ground = ground_of(cached.lab, cached.site)
        ground.fab.deploy(ground.release()).ended(0)
        cached.is_said("healthy")
    load.seen.lost_nothing()
    assert cached.ask(cached.server, f"AUTH shop {cached.secret}")[0].startswith("-WRONGPASS")
    assert cached.ask(cached.server, LOGIN) == ["+OK"]


def test_a_cache_that_is_retired_is_missed_by_nobody(cached: Cached) -> None:
    """As the page says: the host is taken out of Slipway, then out of the inventory."""
    ground = ground_of(cached.lab, cached.site)
    with ground.shop().load(RATE / 2) as load:
        cached.playbooks.run(
            "playbooks/retire.yml",
            retire_host="cache-1",
            retire_in_use=True,
            retire_data=True,
            retire_confirm="cache-1",
        ).succeeded()
        cached.is_said("unhealthy")
        (cached.inventory.folder / "redis.yml").unlink()
        cached.playbooks.run("site.yml").succeeded()
        ground.fab.deploy(ground.release()).ended(0)
        cached.is_said("off")
    load.seen.lost_nothing()
    assert hosts.listening(cached.cache, "tcp") <= {("0.0.0.0", "22"), ("[::]", "22")}
    ours = "find /etc/slipway /etc/systemd/system/redis-server.service.d -type f 2>/dev/null; true"
    assert hosts.output(cached.cache, ours) == ""
