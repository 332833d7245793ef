"""What a lab leaves on the machine, which is nothing, and how labs of several checkouts live side by side."""

import shutil

import pytest

from tests.lab import process
from tests.lab.conftest import Checkout, traces
from tests.lab.errors import LabError
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab


def test_down_leaves_nothing_of_what_up_made(checkout: Checkout) -> None:
    inventory = checkout(test_3=13)
    before = traces(str(inventory.parents[1]))
    lab = Lab(inventory)
    lab.up()
    assert len(traces(str(inventory.parents[1]))) > len(before)
    assert lab.host("test-3").folder.exists()
    lab.down()
    assert traces(str(inventory.parents[1])) == before
    assert not lab.site.hosts.exists()


def test_down_of_some_hosts_leaves_the_others(checkout: Checkout) -> None:
    lab = Lab(checkout(test_4=14, test_5=15))
    lab.up()
    lab.down(["test-4"])
    assert [name for name, host in lab.hosts.items() if host.running()] == ["test-5"]
    assert lab.host("test-5").run("hostname").stdout == "test-5\n"
    lab.down()


def test_down_removes_hosts_that_the_inventory_names_no_more(checkout: Checkout) -> None:
    inventory = checkout(test_4=14, test_5=15)
    Lab(inventory).up()
    hosts = inventory / "hosts.yml"
    hosts.write_text(
        "\n".join(line for line in hosts.read_text().splitlines() if "test-4" not in line) + "\n"
    )
    lab = Lab(inventory)
    lab.down()
    assert [host for host in lab.site.registry.running() if host.inventory == inventory] == []
    assert not lab.site.hosts.exists()


def test_two_checkouts_cannot_have_the_same_address_at_once(checkout: Checkout) -> None:
    first, second = checkout("first", test_6=16), checkout("second", test_6=16)
    Lab(first).up()
    with pytest.raises(LabError, match=f"cd {first.parents[1]} && python -m tests.lab down"):
        Lab(second).up()
    Lab(second).down()
    assert Lab(first).host("test-6").run("hostname").stdout == "test-6\n", (
        "the other checkout's down must not touch it"
    )
    Lab(first).host("test-6").kill()
    Lab(second).up()
    assert Lab(second).host("test-6").run("hostname").stdout == "test-6\n"


def test_the_hosts_of_a_deleted_checkout_are_ended_by_the_next_command(checkout: Checkout) -> None:
    deleted, other = checkout("deleted", test_7=17), checkout("other", test_8=18)
    lab = Lab(deleted)
    lab.up()
    shutil.rmtree(deleted.parents[1])
    Lab(other).up()
    assert lab.site.registry.running_at(lab.host("test-7").address) is None
    Lab(other).down()
    assert [line for line in traces(str(deleted.parents[1])) if "deleted" in line] == []


def test_the_network_is_mended_when_its_package_cache_died(checkout: Checkout) -> None:
    lab = Lab(checkout(test_9=19))
    lab.up()
    identity, _ = process.load(lab.site.network.folder / "apt-cacher-ng.json")
    process.end(identity)
    assert not lab.site.network.answers()
    assert lab.up() == []
    assert lab.site.network.answers()
