"""A host that is not fit for Slipway is refused with a sentence, before anything on it changes."""

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks, Run
from tests.e2e.conftest import CONFIGURATION, Bare
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

OLD_SYSTEM = (
    "sed --in-place --expression 's/^VERSION_ID=.*/VERSION_ID=\"11\"/' --expression 's/bookworm/bullseye/g' "
    "--expression 's/12 (/11 (/' /usr/lib/os-release && echo 11.11 > /etc/debian_version"
)
# postgresql-15 is Debian's own; its package makes a cluster 15/main in the locale of the host.
VERSION_15 = (
    "apt-get update --quiet && DEBIAN_FRONTEND=noninteractive "
    "apt-get install --quiet --yes --no-install-recommends postgresql-15"
)
# The host has only just booted: systemd may still be starting the cluster that is dropped here.
LOCALE_C = (
    "systemctl stop 'shop@*' && systemctl start postgresql@14-main && pg_dropcluster --stop 14 main"
    " && pg_createcluster 14 main --start --locale=C --encoding=UTF8"
)


@pytest.fixture
def bare_again(spoilt: Host, bare: Bare) -> Host:
    """The host as it was after its first boot."""
    spoilt.restore("bare")
    return spoilt


def refusal(host: Host, playbooks: Playbooks) -> Run:
    """Run site.yml, which has to fail and to leave the host as it is."""
    before = hosts.files(host, *CONFIGURATION)
    run = playbooks.run("site.yml").refused()
    changes = hosts.differences(before, hosts.files(host, *CONFIGURATION))
    assert not changes, f"{changes}\n{run}"
    assert run.changed == 0, run
    return run


def test_a_system_nobody_tested_is_refused(bare_again: Host, playbooks: Playbooks) -> None:
    hosts.output(bare_again, OLD_SYSTEM)
    refusal(bare_again, playbooks).says(
        f"{bare_again.name} runs Debian 11",
        "which Slipway does not support. Supported: Ubuntu 22, Debian 12. Nothing was changed.",
    )


def test_a_cluster_of_another_version_is_left_alone(bare_again: Host, playbooks: Playbooks) -> None:
    hosts.output(bare_again, VERSION_15)
    refusal(bare_again, playbooks).says(
        f"{bare_again.name} already has the cluster 15/main where 14/main is wanted.",
        "Slipway never replaces a cluster. Either set postgresql_version to the version that is there,",
    )
    assert hosts.output(bare_again, "pg_lsclusters --no-header").split()[:4] == [
        "15",
        "main",
        "5432",
        "online",
    ]


def test_a_cluster_of_another_locale_is_left_alone(spoilt: Host, playbooks: Playbooks) -> None:
    spoilt.restore("serving")
    hosts.output(spoilt, LOCALE_C)
    refusal(spoilt, playbooks).says(
        f"The cluster 14/main of {spoilt.name} was created with C UTF8 where C.UTF-8 UTF8 is wanted.",
        "Either set postgresql_locale to what is there, or dump, drop (pg_dropcluster) and restore into a new one.",
    )
    assert hosts.output(spoilt, "pg_lsclusters --no-header").split()[:4] == ["14", "main", "5432", "online"]
