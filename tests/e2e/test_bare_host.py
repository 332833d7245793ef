"""A bare host becomes a serving one: `ansible-playbook site.yml`."""

import re
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Run
from tests.e2e.conftest import Bare, Rehearsal
from tests.e2e.web import Site
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]


def test_a_bare_host_can_be_checked_before_anything_is_done_to_it(rehearsal: Rehearsal) -> None:
    rehearsal.run.succeeded()
    assert not rehearsal.changes, f"the check changed the host:\n{rehearsal.changes}"


def test_the_check_of_a_bare_host_shows_the_files_it_would_get(rehearsal: Rehearsal) -> None:
    for path in (
        "/etc/nginx/conf.d/shop.conf",
        "/etc/systemd/system/shop@.service",
        "/etc/sudoers.d/slipway",
    ):
        assert f"+++ after: {path}" in rehearsal.run.output, rehearsal.run
    rehearsal.run.says("a first release would be built, checked and put live")


def test_one_run_takes_a_bare_host_to_a_serving_one(first_run: Run, host: Host, site: Site) -> None:
    assert first_run.recap[host.name]["failed"] == 0
    response = site.get("/api/v1/products")
    assert response.status == 200, f"{response}\n{hosts.journal(host)}"
    assert response.headers["X-Release"] == hosts.live_release(host)
    assert len(response.json()["items"]) > 0, response


def test_a_second_run_changes_nothing(second_run: Run) -> None:
    assert second_run.changed == 0, second_run


@pytest.fixture
def product(host: Host) -> Iterator[str]:
    """The id of a product that was put into the database by hand."""
    identifier = str(uuid.uuid4())
    values = f"('{identifier}', 'TEST-1', 'A product of the test', 'tea', 1.25, 3)"
    hosts.sql(
        host, f"INSERT INTO products (id, sku, name, category, price, stock) VALUES {values}", user="shop"
    )
    yield identifier
    hosts.sql(host, f"DELETE FROM products WHERE id = '{identifier}'", user="shop")


def test_products_are_rows_of_postgresql_14(host: Host, site: Site, product: str) -> None:
    assert re.fullmatch(r"14\.\d+.*", hosts.sql(host, "SHOW server_version"))
    response = site.get(f"/api/v1/products/{product}")
    assert response.status == 200, response
    assert response.json()["name"] == "A product of the test"
    assert response.json()["price"] == "1.25"


def test_what_was_in_place_before_is_kept(bare: Bare, host: Host) -> None:
    now = hosts.files(host, "/etc", "/var/lib/slipway/originals")
    replaced = [
        path
        for path, described in bare.files.items()
        if path in now
        and described.startswith("-")
        and described.split()[-1] != now[path].split()[-1]
        and "Written by Slipway" in host.run(f"head -n 2 '{path}'").stdout
    ]
    assert "/etc/hosts" in replaced, now["/etc/hosts"]
    for path in replaced:
        original = now.get(f"/var/lib/slipway/originals{path}")
        assert original is not None, f"{path} is gone for good"
        assert original == bare.files[path], f"{path} was kept as something else"


def test_what_a_package_brought_is_kept_too(host: Host) -> None:
    brought = hosts.output(host, "dpkg-query --show --showformat='${Conffiles}' nginx-common")
    checksum = re.search(r"^ /etc/nginx/nginx\.conf ([0-9a-f]{32})$", brought, re.MULTILINE)
    assert checksum, brought
    kept = hosts.output(host, "md5sum /var/lib/slipway/originals/etc/nginx/nginx.conf")
    assert kept.split()[0] == checksum[1]
