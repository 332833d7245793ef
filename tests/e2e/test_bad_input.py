"""A wrong value in the inventory is refused with a sentence, before anything on the host changes."""

import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks, Run
from tests.e2e.conftest import CONFIGURATION
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

PRODUCTION = {
    "slipway_environment": "production",
    "certificates_private_accepted": True,
    "certificates_directory": "/none/pki",
}
STRONG = string.ascii_letters[::-1][:32]


@dataclass(frozen=True)
class Refusal:
    """Variables that win over the inventory's, and what has to be said of them."""

    variables: dict[str, Any]
    sentence: str


REFUSALS = {
    "no secret in production": Refusal(
        {**PRODUCTION, "vault_secret_key": ""},
        "(production): vault_secret_key is missing. Create strong ones with:",
    ),
    "a short secret": Refusal(
        {**PRODUCTION, "vault_secret_key": STRONG[:20]}, "vault_secret_key is shorter than 32 characters"
    ),
    "a placeholder for a secret": Refusal(
        {**PRODUCTION, "vault_secret_key": f"ChangeMe-{STRONG}"}, "vault_secret_key is a placeholder"
    ),
    "a secret of few letters": Refusal(
        {**PRODUCTION, "vault_secret_key": "abcabcab" * 5}, "vault_secret_key repeats too few characters"
    ),
    "a secret of two lines": Refusal(
        {**PRODUCTION, "vault_secret_key": f"{STRONG}\n{STRONG}"}, "vault_secret_key holds control characters"
    ),
    "a private authority in production": Refusal(
        {**PRODUCTION, "certificates_private_accepted": False}, "a private authority serves nobody's browser"
    ),
    "a made-up shop in production": Refusal(
        {**PRODUCTION, "vault_secret_key": STRONG, "release_seed_demo": True},
        "release_seed_demo is true and slipway_environment is production",
    ),
    "an unknown environment": Refusal(
        {"slipway_environment": "prod"},
        "has to be lab, staging or production (found prod). Nothing was changed.",
    ),
    "an unknown kind of storage": Refusal(
        {"postgresql_storage": "floppy"},
        "value of postgresql_storage must be one of: ssd, nvme, san, hdd, got: floppy",
    ),
    "a slot that may keep nothing": Refusal(
        {"postgresql_max_slot_wal_keep_size": "0GB"},
        "postgresql_max_slot_wal_keep_size is '0GB', not a size such as 8GB",
    ),
    "a version nobody supports": Refusal(
        {"postgresql_version": "9.6"}, "value of postgresql_version must be one of: 14, 15, 16, 17, got: 9.6"
    ),
    "a word for a number": Refusal(
        {"app_workers": "many"}, "argument 'app_workers' is of type str and we were unable to convert to int"
    ),
    "no worker at all": Refusal({"app_workers": 0}, "app_workers is 0, not a whole number from 1 to 64"),
    "connections that are not there": Refusal(
        {"app_database_pool_size": 20, "app_database_max_overflow": 20},
        "1 app hosts x 2 live releases x 2 workers x (20 pool + 20 overflow) + 10 for admins need 170 connections; "
        "max_connections 100 less 3 reserved for superusers leaves 97",
    ),
    "memory that is not there": Refusal(
        {"app_workers": 8},
        "app_memory_high is 768M, and app_workers x 174 MiB are 1392 MiB: use fewer workers, or raise app_memory_high",
    ),
    "a Redis whose address nobody knows": Refusal(
        {"app_redis_url": "redis://cache.example:6379/0"},
        "the address of cache.example is not known, and the service may connect to nothing else",
    ),
    "what is no address to connect to": Refusal(
        {"app_egress": ["example.net"]}, "app_egress is 'example.net'"
    ),
    "a limit the service would refuse": Refusal(
        {"app_database_statement_timeout": 5},
        "app_database_statement_timeout is 5, not a whole number from 100",
    ),
    "a word for a size": Refusal(
        {"nginx_body_limit": "lots"}, "nginx_body_limit (lots) is a size such as 1m"
    ),
    "a unit file in a memory limit": Refusal(
        {"app_memory_max": "1G\nExecStartPre=/bin/sh"}, "app_memory_max"
    ),
    "a Python that no archive has": Refusal(
        {"app_python": "python3.12"},
        "app_python is python3.12, which Debian 12 has no package of (it has python3.11): name an archive that has it",
    ),
    "a Python that is not there": Refusal(
        {"app_python": "/opt/python/bin/python3.12"},
        "app_python is /opt/python/bin/python3.12, which cannot be used: No such file or directory. Put one there",
    ),
    "a Python where nobody else may look": Refusal(
        {"app_python": "/root/bin/python3.12"}, "app_python is '/root/bin/python3.12', not a package such as"
    ),
    "a locale that is not generated": Refusal(
        {"locale_default": "xx_XX.UTF-8"},
        "locale_default is xx_XX.UTF-8, which is neither C.UTF-8 nor in locale_generate",
    ),
    "a timezone that does not exist": Refusal({"base_timezone": "Mars/Olympus"}, "Mars/Olympus"),
    "a path for a timezone": Refusal({"base_timezone": "../../../etc/passwd"}, "../../../etc/passwd"),
    "certificates that were not named": Refusal(
        {"certificates_source": "files"}, "certificates_source is files, but certificates_files of"
    ),
    "certificates that are not there": Refusal(
        {
            "certificates_source": "files",
            "certificates_files": {
                "ca": "/none/ca.pem",
                "certificate": "/none/host.pem",
                "key": "/none/host.key",
            },
        },
        "/none/host.key",
    ),
    "a certificate with the key of another": Refusal(
        {
            "certificates_source": "files",
            "certificates_files": {
                "ca": "{{ slipway_local_state }}/pki/ca.pem",
                "certificate": "{{ slipway_local_state }}/pki/{{ inventory_hostname }}.pem",
                "key": "{{ slipway_local_state }}/pki/ca.key",
            },
        },
        "the key does not belong to the certificate. Nothing was changed.",
    ),
    "a certificate without a public name": Refusal(
        {
            "certificates_public": {
                "certificate": "{{ slipway_local_state }}/pki/{{ inventory_hostname }}.pem",
                "key": "{{ slipway_local_state }}/pki/{{ inventory_hostname }}.key",
            },
            "nginx_server_names": ["www.shop.test"],
        },
        "public names: the certificate is not for www.shop.test, only for",
    ),
    "what is no public key": Refusal(
        {"base_deploy_keys": ["AAAA"]}, "base_deploy_keys holds something that is not one public SSH key"
    ),
    "hosts to which nobody could bring a release": Refusal(
        {"release_signers": []}, "takes signed bundles alone and release_signers is empty"
    ),
    "a signer who is everybody": Refusal(
        {"release_signers": [{"name": "*", "key": f"ssh-ed25519 {'A' * 68}"}]},
        "a name in release_signers is '*', not one word",
    ),
    "a collector nobody knows": Refusal(
        {"rsyslog_collector": "nowhere"}, "rsyslog_collector is nowhere, which is no host of the inventory"
    ),
    "an archive's key that is not there": Refusal(
        {
            "apt_sources_archives": [
                {
                    "name": "x",
                    "uri": "http://x",
                    "suite": "x",
                    "components": ["x"],
                    "key_file": "/none/key.asc",
                }
            ]
        },
        "/none/key.asc",
    ),
    "a mirror that is no address": Refusal(
        {"apt_sources_mirrors": ["http://mirror.example/debian main [trusted=yes]"]},
        "apt_sources_mirrors holds something that is not a plain http or https URI",
    ),
    "a bundle that is not there": Refusal(
        {"release_bundle": "/none/shop.tar"},
        "release_bundle is /none/shop.tar, which is no file on the controller. Make one with: fab build.",
    ),
    "SQL in a database's name": Refusal(
        {"postgresql_database": "shop\"; DROP DATABASE shop; --'"}, "begins with a lower-case letter"
    ),
    "a shell in a cluster's name": Refusal(
        {"postgresql_cluster": "main; $(reboot)"}, "postgresql_cluster (main; $(reboot))"
    ),
    "a second setting in a setting": Refusal(
        {"postgresql_settings": {"work_mem": "4MB'\nssl = 'off"}}, "a value in postgresql_settings is"
    ),
    "a second setting in a setting's name": Refusal(
        {"postgresql_settings": {"work_mem = 1\nssl": "off"}}, "a name in postgresql_settings is"
    ),
    "a directive of nginx in a name": Refusal(
        {"nginx_server_names": ["shop.example; return 200"]}, "shop.example; return 200"
    ),
    "letters nginx does not know in a name": Refusal(
        {"nginx_server_names": ["büro.example"]}, "büro.example"
    ),
}

WITH_SECRETS = [about for about, refusal in REFUSALS.items() if refusal.variables.get("vault_secret_key")]


@pytest.fixture(scope="module")
def host(debian: Lab, debian_life: str) -> Host:
    """A serving host, of the second platform: values are refused by the controller, which is the same for both."""
    (found,) = debian.hosts.values()
    return found


@pytest.fixture(scope="module")
def untouched(host: Host) -> dict[str, str]:
    """The files of the serving host before any of it."""
    return hosts.files(host, *CONFIGURATION)


@pytest.fixture(scope="module")
def run_with(untouched: dict[str, str], debian: Lab) -> Callable[[str], Run]:
    """site.yml with one of the wrong values, which a module asks for once."""
    playbooks = Playbooks(debian.site.inventory)
    return cache(lambda about: playbooks.run("site.yml", **REFUSALS[about].variables))


@pytest.mark.parametrize("about", REFUSALS)
def test_it_is_refused_with_a_sentence_before_anything_changes(
    run_with: Callable[[str], Run], about: str
) -> None:
    run = run_with(about).refused()
    run.says(REFUSALS[about].sentence)
    assert run.changed == 0, run


@pytest.mark.parametrize("about", WITH_SECRETS)
def test_a_secret_that_was_refused_is_not_shown(run_with: Callable[[str], Run], about: str) -> None:
    run = run_with(about)
    assert REFUSALS[about].variables["vault_secret_key"] not in run.output.partition("\n\n")[2], run


def test_nothing_on_the_host_has_changed_after_all_of_it(
    run_with: Callable[[str], Run], untouched: dict[str, str], host: Host
) -> None:
    assert run_with(WITH_SECRETS[0]).refused()
    changes = hosts.differences(untouched, hosts.files(host, *CONFIGURATION))
    assert not changes, changes
