"""`slipway migrate` in the host's journal: what it took, who was in the way, how it ended though nobody watched."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from slipway.database.migration_run import facts
from slipway.systemd import Systemd

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host

BLOCKER = {
    "pid": 4711,
    "role": "shop",
    "application": "report",
    "state": "idle in transaction",
    "seconds": 93.5,
}
SAID: list[Any] = [
    {"event": "migration_waits_for_another", "held_by": [{"pid": 99, "role": "shop_migrate"}]},
    {"event": "revision_begun", "revision": "0002"},
    {"event": "migration_blocked", "blocked_by": [BLOCKER]},
    {"event": "migration_waits_for_lock", "attempt": 1, "pause_seconds": 1.5},
    {"event": "revision_begun", "revision": "0002"},
    {"event": "revision_applied", "revision": "0002", "seconds": 0.4, "strongest_lock": "ShareLock", "locked": ["a"]},
    {"event": "revision_begun", "revision": "0003"},
]  # fmt: skip


def lines(*said: Any) -> list[str]:
    return [each if isinstance(each, str) else json.dumps(each) for each in said]


def records(slipway: Slipway, phase: str) -> list[dict[str, Any]]:
    entries = slipway("journal", "--step", "migrate").result["entries"]
    return [entry for entry in entries if entry["phase"] == phase]


def test_what_a_migration_took_is_read_out_of_its_lines() -> None:
    found = facts(
        lines(*SAID, {"event": "revision_applied", "revision": "0003"}, {"from": "1", "to": "0003"})
    )
    assert found["revisions"][0] == {
        "revision": "0002",
        "seconds": 0.4,
        "tries": 2,
        "lock": "ShareLock",
        "on": ["a"],
    }
    assert (found["revisions"][1]["tries"], found["tries"]) == (1, 2)
    assert found["blocked_by"] == [{"pid": 99, "role": "shop_migrate"}, BLOCKER]
    assert "sentence" not in found


def test_one_that_failed_half_way_has_what_was_applied_what_was_not_and_the_sentence() -> None:
    found = facts(lines(*SAID, "The migration failed: division by zero"))
    assert [(each["revision"], each.get("failed", False)) for each in found["revisions"]] == [
        ("0002", False),
        ("0003", True),
    ]
    assert found["sentence"] == "The migration failed: division by zero"
    assert "to" not in found


@pytest.mark.parametrize(
    "line",
    ["", "{", "[" * 100_000, "null", "7", '{"event": 7}', '{"event": "migration_blocked", "blocked_by": [7, null]}',
     '{"event": "migration_blocked", "blocked_by": [{"pid": {"x": []}}]}', '{"event": "revision_applied"}',
     "\x1b[2J\x00hostile"],
)  # fmt: skip
def test_no_line_stops_the_record(line: str) -> None:
    assert facts(lines(line, {"from": "0001", "to": "0002"}))["to"] == "0002"


def test_the_journal_has_who_did_it_for_which_change_and_how_long_it_took(
    host: Host, slipway: Slipway
) -> None:
    support.install_release(host, RELEASE)
    words = ["--holder=ada", "--process=1@here", "--command=fab migrate", "--ticket=OPS-7"]
    fence = slipway("lease", "acquire", *words).result["fence"]
    slipway(
        "record", "migrate.begin", f"--release={RELEASE}", '--details={"backup": "x"}', f"--fence={fence}"
    )
    slipway("migrate", RELEASE, f"--fence={fence}")
    (ended,) = records(slipway, "end")
    details = ended["details"]
    assert (details["by"], details["ticket"], details["seen"], details["to"]) == (
        "ada",
        "OPS-7",
        True,
        "0002",
    )
    assert ended["duration_ms"] >= 0
    assert [entry["step"] for entry in records(slipway, "note")] == ["migrate.begin"]
    # On the console there is no lease: the person is who typed it.
    assert slipway("migrate", RELEASE).code == 0
    assert records(slipway, "end")[-1]["details"]["by"] == "root"


def test_a_failure_is_in_the_journal_with_its_sentence(host: Host, slipway: Slipway) -> None:
    (support.install_release(host, RELEASE) / "migration").write_text("fail")
    answer = slipway("migrate", RELEASE)
    (ended,) = records(slipway, "end")
    assert (ended["result"], ended["details"]["sentence"]) == ("failed", 'relation "products" is locked')
    assert 'relation "products" is locked' in answer.message.splitlines()[0] == ended["error"]
    assert slipway("status").result["migration"] is None


def test_one_that_was_left_running_is_known_and_the_next_says_how_it_ended(
    host: Host, slipway: Slipway
) -> None:
    """As after a cut connection, or `kill -9` of whoever waited."""
    support.install_release(host, RELEASE)
    support.install_release(host, OTHER)
    # Its second record is its end: it is killed while it writes that, and the unit has done its work.
    slipway_killed = support.run(host.root, "migrate", RELEASE, kill_after=-2)
    assert slipway_killed.returncode == -9
    left = slipway("status").result["migration"]
    assert (left["release"], left["running"]) == (RELEASE, False)

    watched = slipway("migrate", RELEASE, "--watch")
    assert (watched.result["from"], watched.result["to"]) == ("0001", "0002")
    ended = records(slipway, "end")[-1]
    assert (ended["result"], ended["details"]["watched"], ended["details"]["began"]) == (
        "ok",
        True,
        left["began"],
    )
    assert slipway("status").result["migration"] is None
    # There is nothing left to watch, and nothing is started.
    before = support.snapshot(host.root)
    again = slipway("migrate", RELEASE, "--watch")
    assert (again.json["changed"], again.result["to"]) == (False, "0002")
    assert support.snapshot(host.root) == before


def test_the_next_migration_of_another_release_says_how_the_one_before_ended(
    host: Host, slipway: Slipway
) -> None:
    (support.install_release(host, RELEASE) / "migration").write_text("fail")
    support.install_release(host, OTHER)
    support.run(host.root, "migrate", RELEASE, kill_after=-2)
    earlier = slipway("migrate", OTHER).result["earlier"]
    assert earlier["release"] == RELEASE
    assert 'relation "products" is locked' in earlier["error"]
    assert [entry["result"] for entry in records(slipway, "end")] == ["failed", "ok"]


def test_a_unit_that_failed_stays_failed_until_a_migration_succeeds(host: Host, slipway: Slipway) -> None:
    behaviour = support.install_release(host, RELEASE) / "migration"
    behaviour.write_text("fail")
    support.install_release(host, OTHER)
    unit = Systemd(host)
    slipway("migrate", RELEASE)
    assert unit.state(host.migration_unit(RELEASE)).active == "failed"
    assert slipway("migrate", OTHER).code == 0
    assert unit.state(host.migration_unit(RELEASE)).active == "inactive"


def test_one_whose_lines_are_gone_is_not_called_good(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    support.run(host.root, "migrate", RELEASE, kill_after=1)
    time.sleep(0.01)
    answer = slipway("migrate", RELEASE, "--watch")
    assert (answer.code, answer.error) == (3, "migration-failed")
    assert "Nobody saw its end" in answer.message


def test_a_wait_that_ends_before_the_migration_leaves_it_to_the_next(host: Host, slipway: Slipway) -> None:
    (support.install_release(host, RELEASE) / "migration").write_text("slow")
    assert slipway("migrate", RELEASE, "--timeout", "0.5").error == "migration-timeout"
    assert slipway("status").result["migration"]["release"] == RELEASE


def test_watching_one_that_failed_under_whoever_waited_says_so_and_starts_nothing(
    host: Host, slipway: Slipway
) -> None:
    (support.install_release(host, RELEASE) / "migration").write_text("fail")
    slipway("migrate", RELEASE)
    before = support.snapshot(host.root)
    answer = slipway("migrate", RELEASE, "--watch")
    assert (answer.code, answer.error) == (3, "migration-failed")
    assert 'relation "products" is locked' in answer.message
    assert support.snapshot(host.root) == before


@pytest.mark.parametrize(
    ("head", "words", "started"), [("0001", [], False), ("0002", [], True), ("0001", ["--contract"], True)]
)
def test_no_unit_is_started_when_the_live_release_finds_the_schema_at_the_head(
    host: Host, slipway: Slipway, head: str, words: list[str], started: bool
) -> None:
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
    slipway("activate", RELEASE)
    path = host.release(OTHER) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_head": head}))

    answer = slipway("migrate", OTHER, *words)

    assert (
        host.migration_unit(OTHER).removesuffix(".service") in str(support.unit_states(host.root))
    ) == started
    assert answer.json["changed"] == started
    assert records(slipway, "end")[-1]["details"]["seen"] is True


def test_a_migration_that_does_not_end_is_waited_for_no_longer_than_asked(
    host: Host, slipway: Slipway
) -> None:
    (support.install_release(host, RELEASE) / "migration").write_text("slow")

    answer = slipway("migrate", RELEASE, "--timeout", "0.5")

    assert (answer.code, answer.error) == (3, "migration-timeout")
    assert "still running" in answer.message
