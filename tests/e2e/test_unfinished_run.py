"""A run that was cut off is made up for by the next; what is renewed on the controller reaches the host."""

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import site_of
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

# Between the new limit and the one before, which is also the service's own.
BODY = 700 << 10


def workers(host: Host) -> str:
    """Return the processes that serve; a reload replaces them."""
    return hosts.output(host, "pgrep --parent $(cat /run/nginx.pid)")


def takes_a_body_of(site: Site, size: int) -> bool:
    """Say whether nginx lets a body of so many bytes through."""
    return site.request("POST", "/nothing/here", body=b"x" * size).status != 413


def test_a_run_that_dies_before_it_reloads_is_made_up_for(
    spoilt: Host, site: Site, playbooks: Playbooks
) -> None:
    before = workers(spoilt)
    cut = playbooks.start("site.yml", "--tags", "nginx", nginx_body_limit="512k")
    hosts.output(
        spoilt, "timeout 120 sh -c 'until grep -q 512k /etc/nginx/conf.d/shop.conf; do sleep 0.01; done'"
    )
    dead = cut.kill()
    assert "RUNNING HANDLER [nginx : Reload nginx]" not in dead.output, dead
    assert workers(spoilt) == before, "nginx was reloaded before the run could be cut off"
    assert takes_a_body_of(site, BODY), "the new limit is in force without a reload"

    check = playbooks.run(
        "site.yml", "--tags", "nginx", "--check", "--diff", nginx_body_limit="512k"
    ).succeeded()
    check.says("written by an earlier run, not in force")
    mend = playbooks.run("site.yml", "--tags", "nginx", nginx_body_limit="512k").succeeded()
    assert "nginx : Reload nginx" in mend.changes(spoilt.name), mend
    hosts.until("the new limit is in force", lambda: not takes_a_body_of(site, BODY), seconds=5)
    again = playbooks.run("site.yml", "--tags", "nginx", nginx_body_limit="512k").succeeded()
    assert again.changed == 0, again


def test_a_certificate_renewed_on_the_controller_is_served_by_the_processes_that_serve(
    spoilt: Host, site: Site, lab: Lab, playbooks: Playbooks
) -> None:
    before, workers = site.certificate(), hosts.output(spoilt, "pgrep -u www-data nginx")
    (site_of(lab).ca.parent / f"{spoilt.name}.pem").unlink()
    run = playbooks.run("site.yml", "--tags", "certificates").succeeded()
    assert run.changes(spoilt.name) == ["certificates : Put authority, certificate and key on the host"], run
    assert site.certificate() != before
    assert hosts.output(spoilt, "pgrep -u www-data nginx") == workers
    assert site.get("/health/ready").status == 200
    assert playbooks.run("site.yml", "--tags", "certificates").succeeded().changed == 0
