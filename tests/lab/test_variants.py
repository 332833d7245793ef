"""A host comes with what strangers leave on theirs, when it is asked for."""

from collections.abc import Iterator

import pytest

from tests.lab import image, ubuntu
from tests.lab.conftest import end_all_in, make_inventory
from tests.lab.errors import LabError
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.platforms import UBUNTU

pytestmark = pytest.mark.lab

AS_POSTGRES = "cd / && runuser --user=postgres -- psql --tuples-only --no-align --command"
# Of each variant a command that works where it is. Two hosts, since a port or a name is somebody's once.
STATES = {
    "one": {
        "foreign-database": f"{AS_POSTGRES} 'SELECT datname FROM pg_database' | grep crm",
        "umask-077": "grep '^UMASK 077' /etc/login.defs",
        "max-sessions": "sshd -T | grep -x 'maxsessions 1'",
        "human-deploy": "getent passwd deploy | grep 'A person'",
    },
    "two": {
        "occupied-port": "ss -Hltnp 'sport = :80' | grep python3",
        "other-cluster": "pg_lsclusters --no-header | grep '14 *reports *5432 online'",
        # Asked by a service of its own: this login may be older than the variant.
        "no-ipv6": "! systemd-run --quiet --wait --pipe python3 -c 'import socket; socket.socket(socket.AF_INET6)' && "
        "systemd-run --quiet --wait --pipe python3 -c 'import socket; socket.socket(socket.AF_INET)'",
    },
}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Host]]:
    """Two hosts that are made, each with its variants."""
    archive = ubuntu.upstream(image.architecture()).archive
    if not ubuntu.reachable(archive):
        pytest.skip(f"this machine does not reach {archive}")
    folder, made = tmp_path_factory.mktemp("variants"), {}
    inventory = make_inventory(
        folder, {"one": 31, "two": 32}, lab_platform=UBUNTU.name, ansible_user="ubuntu"
    )
    for name, states in STATES.items():
        lab = Lab(inventory, tuple(states))
        lab.up([name])
        made[name] = lab.host(name)
    for host in made.values():
        host.run("cloud-init status --wait")
    yield made
    end_all_in(folder)


@pytest.mark.parametrize(
    ("name", "variant"), [(name, variant) for name, states in STATES.items() for variant in states]
)
def test_it_is_there(hosts: dict[str, Host], name: str, variant: str) -> None:
    done = hosts[name].run(STATES[name][variant])
    assert done.returncode == 0, (
        f"{done.stdout}{done.stderr}\n{hosts[name].run('cloud-init status --long').stdout}"
    )


def test_a_host_that_had_its_first_boot_is_refused(hosts: dict[str, Host]) -> None:
    site = hosts["one"].site
    with pytest.raises(LabError, match="one had a first boot already"):
        Lab(site.inventory, ("umask-077",)).up(["one"])
