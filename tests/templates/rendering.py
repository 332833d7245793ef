"""What each host of an inventory would get, rendered by the playbook that `make render` runs."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.unit.plugins.ansible_run import ANSIBLE_PLAYBOOK, REPOSITORY

# On Debian a host with everything, and hosts apart: what its programs read otherwise shows there.
INVENTORIES = {
    "Ubuntu-22": ("lab", "fleet", "production", "monitored"),
    "Debian-12": ("lab", "fleet"),
}
# Each platform with the Debian suite whose programs stand for its own.
SUITES = {"Ubuntu-22": "bullseye", "Debian-12": "bookworm"}
# What an inventory can say beyond the defaults, all at once.
# An example's hosts let nobody sign, which is refused. A key of the right form, that nobody has.
KEY = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))).decode()
SIGNERS = [{"name": "ada.lovelace@shop.example", "key": f"ssh-ed25519 {KEY} ada at work"}]
EVERYTHING: dict[str, Any] = {
    "apt_sources_mirrors": ["http://near.example/archive", "https://far.example/archive"],
    "apt_sources_fallback": "http://own.example/archive",
    "apt_sources_security_mirror": "http://security.example/archive",
    "apt_sources_archives": [
        {
            "name": "pgdg",
            "uri": "http://pgdg.example/pgdg",
            "suite": "pgdg",
            "components": ["main", "14"],
            "key_file": "/dev/null",
            "packages": ["postgresql-14", "libpq*"],
        }
    ],
    "apt_sources_lock_timeout": 77,
    "apt_sources_proxy": "http://proxy.example:3128",
    "app_credentials": {"redis_password": "stand-in"},
    "app_egress": ["198.51.100.9/32"],
    "__nginx_ipv6": False,
    "app_log_level": "debug",
    "app_process_stop_timeout": 45,
    "app_python": "python3.11",
    "app_runs_timers": False,
    "app_state_directory": True,
    "app_redis_url": "redis://192.0.2.51:6379/0",
    "app_registration": "admin",
    "app_memory_max": "2G",
    "app_secret_key_previous": "stand-in-for-rendering-ASDFGHJKLYXCVBNM",
    "app_settings": {"SHOP_CORS_ORIGINS": "https://a.example", "SHOP_SAYING": 'say "$HOME" \\ `id`'},
    "app_workers": 1,
    "backups_calendar": "Mon..Fri 01:00:00",
    "backups_keep": 30,
    "base_deploy_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAITest engineer@laptop"],
    "base_hosts_extra": {"licences.example": "192.0.2.77"},
    "base_time_servers": ["192.0.2.123", "time.example"],
    "base_timezone": "Europe/Berlin",
    "base_unattended_upgrades": False,
    "backups_physical": True,
    "backups_physical_key": "a-stand-in-for-the-key-of-the-repository",
    "backups_physical_key_kept": "the safe of the office",
    "base_unattended_upgrades_held": ["^postgresql-", "^nginx"],
    "locale_default": "de_DE.UTF-8",
    "locale_generate": ["en_US.UTF-8", "de_DE.UTF-8"],
    "nginx_body_limit": "5m",
    "nginx_body_limits": {"/uploads/": "100m"},
    "nginx_static": "/static/",
    "nginx_content_security_policy": "default-src 'self'",
    "nginx_websockets": True,
    "nginx_hsts_max_age": 0,
    "nginx_metrics_port": 0,
    "nginx_proxy_protocol_port": 4443,
    "nginx_trusted_proxies": ["127.0.0.9", "198.51.100.0/24"],
    "nginx_server_names": [
        "shop.example",
        "*.shop.example",
        "192.0.2.10",
        "shop.production.eu-central-1.platform.example-company.com",
        f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}",
        *(f"tenant-{number}.shop.example" for number in range(300)),
    ],
    "postgresql_hba_extra": [
        {"type": "local", "database": "crm", "user": "crm", "method": "scram-sha-256"},
        {
            "type": "hostssl",
            "database": "crm,stock",
            "user": "+readers",
            "address": "10.0.0.0/8",
            "method": "scram-sha-256",
        },
        {"type": "host", "database": "all", "user": "exporter", "address": "127.0.0.1", "method": "md5"},
        {
            "type": "hostssl",
            "database": "replication",
            "user": "standby",
            "address": "2001:db8::7",
            "method": "cert",
            "options": "clientname=CN",
        },
    ],
    "postgresql_listen_address": "192.0.2.31",
    "postgresql_max_slot_wal_keep_size": "512MB",
    "postgresql_passwords": {"shop": "stand-in", "shop_migrate": "stand-in"},
    "postgresql_remote_clients": ["192.0.2.21", "2001:db8::21", "198.51.100.0/24"],
    "postgresql_upgrade_to": "17",
    "postgresql_settings": {"work_mem": "16MB", "log_line_prefix": "it's %m "},
    "release_signers": [{**SIGNERS[0], "from": "2026-01-01", "until": "2099-12-31"}],
    "sandbox_settings": {"nginx": {"ProtectHome": None, "LimitNOFILE": "4096"}},
    "slipway_hardened": True,
    "rsyslog_journal_disk": "2G",
    "rsyslog_json_host": "elk.example",
    "rsyslog_json_port": 5000,
    "rsyslog_json_ca": "/etc/ssl/slipway/ca.pem",
    "rsyslog_json_certificate": "/etc/ssl/slipway/host.pem",
    "rsyslog_json_key": "/etc/ssl/slipway/host.key",
    "rsyslog_rotate_count": 30,
}


@dataclass(frozen=True)
class Case:
    """One run of the playbook: an inventory on a platform, with further variables."""

    inventory: str
    platform: str
    everything: bool = False

    @property
    def name(self) -> str:
        return f"{self.inventory}-{self.platform}{'-everything' if self.everything else ''}"

    @property
    def suite(self) -> str:
        return SUITES[self.platform]

    @property
    def hosts(self) -> list[str]:
        """The inventory's hosts, sorted."""
        path = REPOSITORY / "inventory" / self.inventory / "hosts.yml"
        found: set[str] = set()

        def walk(node: Any) -> None:
            for name, inner in (node or {}).items():
                found.update(inner) if name == "hosts" else walk(inner)

        walk(yaml.safe_load(path.read_text(encoding="utf-8")))
        return sorted(found)


CASES = [Case(inventory, platform) for platform, names in INVENTORIES.items() for inventory in names]
CASES += [Case("lab", platform, everything=True) for platform in SUITES]


@dataclass(frozen=True)
class HostTree:
    """The files of one host, below `root` at the paths they have on it."""

    case: Case
    host: str
    root: Path = field(repr=False)

    def has(self, path: str) -> bool:
        return (self.root / path).is_file()

    def text(self, path: str) -> str:
        assert self.has(path), f"{self.host} of {self.case.name} gets no /{path}: {self.paths()}"
        return (self.root / path).read_text(encoding="utf-8")

    def paths(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())


def render(case: Case, folder: Path, **changed: Any) -> None:
    """Write every host's tree to folder/<host>; fails with what Ansible printed. changed: variables."""
    variables: dict[str, Any] = {
        "render_platform": case.platform,
        "slipway_render_to": f"{folder}/{{{{ inventory_hostname }}}}",
        "release_signers": SIGNERS,
        **(EVERYTHING if case.everything else {}),
        **changed,
    }
    done = subprocess.run(
        [
            ANSIBLE_PLAYBOOK, "--inventory", f"inventory/{case.inventory}",
            "--extra-vars", json.dumps(variables), "playbooks/render.yml",
        ],
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{case.name} does not render:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
