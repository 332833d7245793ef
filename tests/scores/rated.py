"""The hosts that are rated: one with all that a service may have, and one that watches it and has its lines."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e import inventories
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.lab.lab import Lab

SERVES, WATCHES = "shop-1", "watch-1"
MEMBERS = f"""\
db: {{hosts: {{{SERVES}: {{ansible_host: 10.83.7.11}}}}}}
app: {{hosts: {{{SERVES}: }}}}
edge: {{hosts: {{{SERVES}: }}}}
redis: {{hosts: {{{SERVES}: }}}}
logs: {{hosts: {{{WATCHES}: {{ansible_host: 10.83.7.15}}}}}}
monitoring: {{hosts: {{{WATCHES}: }}}}
"""


@contextmanager
def rated() -> Iterator[Lab]:
    """Both from bare, hardened, gone with the block."""
    said = {
        "slipway_hardened": True,
        "vault_redis_password": secrets.token_urlsafe(24),
        # Nobody listens there.
        "alertmanager_webhook_url": "http://127.0.0.1:9/alerts",
        "alertmanager_heartbeat_url": "http://127.0.0.1:9/heartbeat",
    }
    with inventories.own(ROOT / "inventory/lab", "test-scores", said) as inventory:
        (inventory.folder / "hosts.yml").write_text(MEMBERS)
        with inventories.booted(inventory) as lab:
            Playbooks(inventory.folder).run("site.yml").succeeded()
            # What stands and was confined since has its settings after a boot.
            for host in lab.hosts.values():
                host.kill()
                host.up()
            yield lab
