"""A host that reboots or crashes serves again without a hand."""

import pytest

from tests.e2e import hosts
from tests.e2e.conftest import serving
from tests.e2e.web import Site
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]


def test_after_a_reboot_the_service_answers_again(host: Host, site: Site) -> None:
    before = site.get("/api/v1/products")
    host.reboot()
    serving(host, site)
    after = site.get("/api/v1/products")
    assert after.json() == before.json()
    assert after.headers["X-Release"] == before.headers["X-Release"]
    assert not host.run("systemctl list-units --failed --plain --no-legend").stdout


def test_after_a_crash_the_service_answers_again(host: Host, site: Site) -> None:
    before = site.get("/api/v1/products")
    host.kill()
    host.up()
    serving(host, site)
    after = site.get("/api/v1/products")
    assert after.json() == before.json()
    assert after.headers["X-Release"] == before.headers["X-Release"]
    assert not host.run("systemctl list-units --failed --plain --no-legend").stdout


def test_a_release_that_an_earlier_slipway_staged_starts_at_boot(host: Host, site: Site) -> None:
    """It has no start of its own until site.yml, with the units that run it, gives it one."""
    release = hosts.live_release(host)
    host.run(f"rm /srv/shop/releases/{release}/start")
    foreseen, done, again = (
        hosts.output(host, f"slipway --app=shop refit {option} --json") for option in ("--dry-run", "", "")
    )
    host.reboot()
    serving(host, site)
    assert ['"changed": true' in said for said in (foreseen, done, again)] == [True, True, False]
    assert hosts.live_release(host) == release
