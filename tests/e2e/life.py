"""The life of a host from bare to its first reboot, as every platform and every variant of a host has to have it."""

from __future__ import annotations

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import CONFIGURATION, serving, site_of
from tests.e2e.fab_runs import Fab
from tests.e2e.ground import ground_of, new_release
from tests.lab.lab import Lab


def lives(lab: Lab) -> str:
    """Fail unless the lab's one host, bare, lives as it should; return how long its runs took, for a table."""
    (host,) = lab.hosts.values()
    playbooks, site, fab = Playbooks(lab.site.inventory), site_of(lab), Fab(lab.site.inventory.name)
    hosts.made(host)
    bare = hosts.files(host, *CONFIGURATION)
    playbooks.run("site.yml", "--check").succeeded()
    changes = hosts.differences(bare, hosts.files(host, *CONFIGURATION))
    assert not changes, f"a check changed the host:\n{changes}"

    first = playbooks.run("site.yml").succeeded()
    again = playbooks.run("site.yml").succeeded()
    assert again.changed == 0, again
    playbooks.run("playbooks/verify.yml").succeeded().says(f"{host.name}: nothing is wrong.")

    ground, before = ground_of(lab, site), hosts.live_release(host)
    bundle, release = new_release(ground)
    fab.deploy(bundle).ended(0, f"{release} is live on every app host")
    fab.run("rollback").ended(0, f"{before} is live on every app host")
    ground.is_whole(before)
    fab.run("db-backup").ended(0)
    fab.run("db-restore", "--test").ended(0)
    fab.run("db-status").ended(0, "is a primary of PostgreSQL 14.")

    host.reboot()
    serving(host, site)
    playbooks.run("playbooks/verify.yml").succeeded()
    return f"serves after {first.seconds:.0f} s; again, nothing to change, {again.seconds:.0f} s"
