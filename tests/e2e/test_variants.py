"""Hosts as strangers have them: each ends serving, or is refused and left byte for byte as it was."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.life import lives
from tests.lab import image, ubuntu, variants
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.platforms import DEBIAN, UBUNTU

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.variants, pytest.mark.timeout(1200)]

REACHED_AT, OWN, JUMP_HOST = "10.83.7.81", "10.83.7.82", "10.83.7.83"
# What goes on by itself on a host that nobody touches: clocks, logs, and the files of servers that run.
GOES_ON = ("/var/log/", "/var/tmp/", "/var/lib/systemd/", "/var/lib/chrony/", "/var/lib/postgresql/")
NOT_FILES = ("/dev", "/proc", "/run", "/snap", "/sys", "/tmp")


@dataclass(frozen=True)
class Variant:
    """says: what the inventory says of the way in. refused: what a run says, () where it ends serving."""

    says: dict[str, str | int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


THROUGH = (
    "-o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={{ ssh_known_hosts_file }}"
    " -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=/run/slipway-lab/control/%r@%h"
    " -o 'ProxyCommand=ssh -i {{ ansible_ssh_private_key_file }} -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes"
    " -o UserKnownHostsFile={{ ssh_known_hosts_file }} -W %h:%p {{ lab_jump_host }}'"
)
PASSWORD: dict[str, str | int] = {"ansible_become_password": "what sudo asks for"}
PORT: dict[str, str | int] = {"ansible_port": 2222}
JUMP: dict[str, str | int] = {"lab_jump_host": f"root@{JUMP_HOST}", "ansible_ssh_common_args": THROUGH}
VARIANTS = {
    "dpkg-interrupted": Variant(
        refused=("dpkg began and did not finish hello", "run dpkg --configure -a there")
    ),
    "foreign-database": Variant(refused=("The PostgreSQL cluster 14/main has the databases crm",)),
    "foreign-sites": Variant(refused=("not Slipway's: /etc/nginx/sites-enabled/other",)),
    "human-deploy": Variant(refused=("There is a user deploy (uid 100",)),
    "occupied-port": Variant(
        refused=("other-web.service) listens on 0.0.0.0:80", "systemctl disable --now other-web.service")
    ),
    "other-cluster": Variant(refused=("The PostgreSQL cluster 14/reports has port 5432",)),
    "max-sessions": Variant(),
    "no-ipv6": Variant(),
    "pam-tmpdir": Variant(),
    "umask-077": Variant(),
    "sudo with a password": Variant(says=PASSWORD),
    "another SSH port": Variant(says=PORT),
    "through a jump host": Variant(says=JUMP),
    "behind NAT": Variant(says={"lab_own_address": OWN}),
}
# The way in is changed while it is used: by a password for sudo, another port and a jump host, and as root.
HARDENED: dict[str, str | int] = {"slipway_hardened": True}
VARIANTS["hardened"] = Variant(says=HARDENED)
VARIANTS["hardened, by password, port and jump host"] = Variant(says={**HARDENED, **PASSWORD, **PORT, **JUMP})
AS_ROOT: dict[str, str | int] = {"lab_platform": DEBIAN.name, "ansible_user": "root"}
VARIANTS["hardened Debian, as root"] = Variant(says={**HARDENED, **AS_ROOT})
ALL_WAYS_IN = "password, port and jump host"
VARIANTS[ALL_WAYS_IN] = Variant(says={**PASSWORD, **PORT, **JUMP})
# One that is left as it was, and one that ends serving.
SHARE = ("occupied-port", ALL_WAYS_IN)


@pytest.fixture(scope="module", autouse=True)
def archive_in_reach() -> None:
    """Variants are made by cloud-init, which Ubuntu's image has."""
    archive = ubuntu.upstream(image.architecture()).archive
    if not ubuntu.reachable(archive):
        pytest.skip(f"this machine does not reach {archive}")


@pytest.fixture(scope="module")
def jump_host() -> Iterator[None]:
    """A host that others may be reached through."""
    with inventory("test-jump", "jump-1", JUMP_HOST, AS_ROOT) as folder:
        Lab(folder).up()
        yield


@contextmanager
def inventory(name: str, host: str, address: str, says: dict[str, str | int]) -> Iterator[Path]:
    """An inventory of one host like inventory/lab, with more to say of it; the host ends with it."""
    folder = ROOT / "inventory" / name
    shutil.copytree(ROOT / "inventory/lab", folder, dirs_exist_ok=True)
    listed = {group: {"hosts": {host: {"ansible_host": address}}} for group in ("db", "app", "edge", "logs")}
    (folder / "hosts.yml").write_text(yaml.safe_dump(listed))
    (folder / "group_vars/all/way_in.yml").write_text(yaml.safe_dump(says))
    try:
        Lab(folder).down()
        yield folder
    finally:
        Lab(folder).down()
        shutil.rmtree(folder)


def tree(host: Host) -> dict[str, str]:
    """Return every file of a host, as it is while nobody does anything there."""
    top = hosts.output(host, "find / -mindepth 1 -maxdepth 1 -type d").split()
    listed = hosts.files(host, *(folder for folder in top if folder not in NOT_FILES))
    return {path: said for path, said in listed.items() if not path.startswith(GOES_ON)}


def is_refused(lab: Lab, sentences: tuple[str, ...]) -> str:
    """Fail unless site.yml is refused with these sentences and leaves the lab's one host as it was."""
    (host,) = lab.hosts.values()
    before = tree(host)
    run = Playbooks(lab.site.inventory).run("site.yml").refused()
    changes = hosts.differences(before, tree(host))
    assert not changes, f"{changes}\n{run}"
    assert run.changed == 0, run
    run.says(*sentences, "Nothing was changed.")
    return f"refused after {run.seconds:.0f} s, not one of {len(before)} files changed: {sentences[0]}"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.share if name in SHARE else ()) for name in VARIANTS]
)
def test_it_ends_serving_or_as_it_was(
    name: str, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    variant = VARIANTS[name]
    record_property("variant", name)
    if "lab_jump_host" in variant.says:
        request.getfixturevalue("jump_host")
    flags = (name,) if name in variants.names() else ()
    says = {"lab_platform": UBUNTU.name, "ansible_user": "ubuntu", **variant.says}
    with inventory("test-variants", "guest-1", REACHED_AT, says) as folder:
        lab = Lab(folder, flags)
        (host,) = lab.up()
        # What it comes with is made by its first boot; that a run waits for that is shown elsewhere.
        hosts.made(host)
        # A login from before that is not as the variant makes them.
        lab.site.access.disconnect(host.address)
        ended = is_refused(lab, variant.refused) if variant.refused else lives(lab)
    record_property("ended", ended)


def test_every_variant_of_the_lab_is_tried() -> None:
    assert set(variants.names()) <= set(VARIANTS)
