"""Physical backups of 17, after an upgrade: by a pgBackRest that knows it, the program is the same."""

from __future__ import annotations

import os

import pytest

from tests.database import physical_ground
from tests.database.physical_ground import ground
from tests.lab import later

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="Debian 13's pgBackRest is unpacked by root"),
]


def test_what_a_newer_pgbackrest_backs_up_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = later.pgbackrest()
    monkeypatch.setattr(physical_ground, "tool", lambda: newer)
    with ground(17) as shop:
        assert "the stanza was created" in shop.done("prepare")["done"]
        shop.sql("INSERT INTO shop.orders (account) SELECT n % 50 + 1 FROM generate_series(1, 1000) n")
        shop.archived()
        shop.done("backup", "--type=diff")
        shop.done("restore", "--latest")
        shown = "SELECT count(*), current_setting('server_version_num')::int / 10000 FROM shop.orders"
        assert shop.in_side("side", shown) == "1500|17"
        shop.done("drop", "--into=side")
        tested = shop.ask("restore-test")[1]
        assert "every index and page checked" in tested["message"], tested
        assert shop.done("continuity")["gaps"] == []


def test_the_systems_own_says_that_it_does_not_know_17() -> None:
    with ground(17) as shop:
        assert "stanza-create ended with status 56" in shop.refused(3, "prepare")
