"""A host that reboots or crashes serves again without a hand."""

import pytest

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
