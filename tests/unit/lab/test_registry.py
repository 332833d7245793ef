"""Labs of several checkouts on one machine know of each other."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.lab import network, process
from tests.lab.errors import LabError
from tests.lab.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "run")
    registry.prepare()
    return registry


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    started = subprocess.Popen(["sleep", "60"])
    yield started
    started.kill()
    started.wait()


def record(registry: Registry, pid: int, inventory: str = "/elsewhere/inventory/lab") -> None:
    identity = process.identify(pid)
    assert identity is not None
    about = {"name": "shop-1", "address": "10.9.8.2", "machine": "lab-0a090802", "bridge": "slab-0a090801"}
    registry.record("10.9.8.2").write_text(json.dumps({**about, "inventory": inventory, **asdict(identity)}))


def test_a_host_of_another_checkout_is_named_with_what_ends_it(
    registry: Registry, sleeper: "subprocess.Popen[bytes]"
) -> None:
    record(registry, sleeper.pid)
    with pytest.raises(
        LabError, match=r"cd /elsewhere && python -m tests\.lab down --inventory inventory/lab"
    ):
        registry.refuse_strangers("10.9.8.2", Path("/here/inventory/lab"))


def test_a_host_of_ones_own_is_no_stranger(registry: Registry, sleeper: "subprocess.Popen[bytes]") -> None:
    record(registry, sleeper.pid)
    registry.refuse_strangers("10.9.8.2", Path("/elsewhere/inventory/lab"))
    registry.refuse_strangers("10.9.8.3", Path("/here/inventory/lab"))


def test_a_host_that_crashed_stands_in_nobodys_way(
    registry: Registry, sleeper: "subprocess.Popen[bytes]"
) -> None:
    record(registry, sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert registry.running() == []
    assert [host.name for host in registry.ended()] == ["shop-1"]
    registry.refuse_strangers("10.9.8.2", Path("/here/inventory/lab"))


def test_a_lock_that_another_command_has_is_not_taken(registry: Registry) -> None:
    with registry.lock("slab-0a090801"), registry.lock_if_free("slab-0a090801") as free:
        assert not free
    with registry.lock_if_free("slab-0a090801") as free:
        assert free


def test_a_killed_command_leaves_no_lock(registry: Registry) -> None:
    program = (
        "import os, sys; from pathlib import Path; from tests.lab.registry import Registry\n"
        f"with Registry(Path({str(registry.root)!r})).lock('host'): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3])
    with registry.lock_if_free("host") as free:
        assert free


def test_a_bridge_on_which_a_host_boots_while_others_are_swept_stays(
    registry: Registry, sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    (registry.bridges / "slab-0a090801").mkdir()
    locked = Registry.lock_if_free

    @contextmanager
    def boots_before_the_lock_is_had(self: Registry, name: str) -> Iterator[bool]:
        record(registry, sleeper.pid, str(registry.root))
        with locked(self, name) as free:
            yield free

    monkeypatch.setattr(Registry, "lock_if_free", boots_before_the_lock_is_had)
    network.sweep(registry)
    assert (registry.bridges / "slab-0a090801").is_dir()
