"""A lab of the tests' own: another network than the checkout's, so that a lab that is up stays as it is."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import process
from tests.lab.lab import Lab
from tests.lab.platforms import DEBIAN
from tests.lab.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
NETWORK = "10.83.250"

Checkout = Callable[..., Path]


def run_lab(
    *arguments: str | Path, wrapper: tuple[str, ...] = (), environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the lab's command line as a person does."""
    return subprocess.run(
        [*wrapper, sys.executable, "-m", "tests.lab", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )


def make_inventory(checkout: Path, hosts: dict[str, int], **variables: str) -> Path:
    """Write an inventory of these hosts (name and last number of the address), connected to as inventory/lab is.

    They boot Debian as root, which is quicker, where variables do not say otherwise.
    """
    variables = {"lab_platform": DEBIAN.name, "ansible_user": "root", **variables}
    folder = checkout / "inventory" / "test"
    connection = folder / "group_vars/all/connection.yml"
    connection.parent.mkdir(parents=True)
    text = (ROOT / "inventory/lab/group_vars/all/connection.yml").read_text()
    connection.write_text(re.sub(r"10\.83\.7\.", f"{NETWORK}.", text))
    said = "".join(f"{name}: {value}\n" for name, value in variables.items())
    connection.with_name("further.yml").write_text(said)
    lines = [f"    {name}: {{ansible_host: {NETWORK}.{number}}}" for name, number in hosts.items()]
    (folder / "hosts.yml").write_text("\n".join(["test:", "  hosts:", *lines, ""]))
    return folder


def end_all_in(folder: Path) -> None:
    """Run `down` for every inventory of a folder whose hosts may still run."""
    for inventory in folder.glob("**/inventory/test"):
        done = run_lab("down", "--inventory", inventory)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session", autouse=True)
def nothing_of_a_killed_run_is_left() -> None:
    """End the hosts of a run of these tests that was killed, so that this one can be trusted."""
    for host in Registry().running():
        if host.address.startswith(f"{NETWORK}.") and host.inventory.is_dir():
            done = run_lab("down", "--inventory", host.inventory)
            assert done.returncode == 0, done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """Return a function that makes an inventory in a folder like another checkout's; its hosts end with the test."""

    def make(name: str = "checkout", **hosts: int) -> Path:
        return make_inventory(
            tmp_path / name, {host.replace("_", "-"): number for host, number in hosts.items()}
        )

    yield make
    end_all_in(tmp_path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Return a lab of two hosts that are up, bare, with a snapshot of that."""
    folder = tmp_path_factory.mktemp("lab")
    running = Lab(make_inventory(folder, {"test-1": 11, "test-2": 12}))
    running.up()
    yield running
    end_all_in(folder)


def traces(of: str) -> list[str]:
    """Return what a lab left on this machine, as lines for a person: of is a text that is in all its paths."""
    found = [str(link) for link in Path("/sys/class/net").glob("slab-0a53fa*")]
    found += [str(link) for link in Path("/sys/class/net").glob("vb-lab-0a53fa*")]
    found += [str(group) for group in Path("/sys/fs/cgroup").glob("**/lab-0a53fa*")]
    registry = Registry()
    found += [str(path) for path in registry.hosts.glob(f"{NETWORK}.*")]
    found += [str(path) for path in registry.bridges.glob("slab-0a53fa*")]
    found += [str(path) for path in registry.control.glob(f"*@{NETWORK}.*")]
    for folder in Path("/proc").glob("[0-9]*"):
        if not process.identify(int(folder.name)):
            continue
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        if of in command or f"{NETWORK}." in command or "slab-0a53fa" in command:
            found.append(f"process {folder.name}: {command}")
        if of in (folder / "mountinfo").read_text():
            found.append(f"a mount of process {folder.name}: {command}")
    return found
