"""Services of one host are refused where they may take more memory together than it has."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.plugins import test_postgresql_harness
from tests.unit.plugins.ansible_run import load_plugin

from ansible.module_utils.slipway_host import memory  # isort: skip

# With which the modules' own code can be imported.
__all__ = ["test_postgresql_harness"]

budget = load_plugin("filter/memory_budget")
STALL = {"name": "stall", "high": "768M", "share": 0.25}


def test_what_all_may_take_is_added_up_with_one_more_release() -> None:
    facts = {"memtotal_mb": 4000, "memory_others": {"shop": {"release": 1024, "database": 1000}}}
    (said,) = budget.memory_budget(facts, STALL)
    assert "has 4000 MiB of memory, and its services may take 4816 together" in said
    assert (
        "shop: 1024 for a release, 1000 for PostgreSQL; stall: 768 for a release, 1000 for PostgreSQL" in said
    )
    assert budget.memory_budget({**facts, "memtotal_mb": 6000}, STALL) == []
    # An edge or a database host of this one's has no release to count.
    assert budget.memory_budget(facts, {"name": "stall", "high": "", "share": 0}) == []


def test_a_service_alone_is_not_counted() -> None:
    assert budget.memory_budget({"memtotal_mb": 500, "memory_others": {}}, STALL) == []
    assert budget.memory_budget({"memtotal_mb": 500}, STALL) == []


@pytest.mark.parametrize(
    ("text", "mebibytes"), [("768M", 768), ("2G", 2048), ("1048576", 1), ("infinity", 0), ("", 0)]
)
def test_sizes_are_systemds(text: str, mebibytes: int) -> None:
    assert budget.mebibytes(text) == mebibytes


def test_what_another_service_may_take_stands_in_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "slipway.conf"
    settings.write_text("max_connections = '100'\neffective_cache_size = '750MB'\n")
    (tmp_path / "shop@.service").write_text("[Service]\nMemoryHigh=1G\nMemoryMax=2G\n")
    monkeypatch.setattr(memory, "UNIT_FOLDER", str(tmp_path))
    monkeypatch.setattr(memory, "CLUSTER", memory.re.compile(r".*/slipway\.conf"))
    monkeypatch.setattr(memory.manifest, "services", lambda: ["hello", "shop", "stall"])
    monkeypatch.setattr(memory.manifest, "names", lambda name: ["postgresql"] if name == "shop" else [])
    monkeypatch.setattr(memory.manifest, "read", lambda *_: SimpleNamespace(files={str(settings): {}}))

    assert memory.others("stall") == {
        "hello": {"release": 0, "database": 0},
        "shop": {"release": 1024, "database": 1000},
    }
