"""Activating and migrating a release: what is live afterwards, and that a bad release changes nothing."""

from __future__ import annotations

import json
import os
import time

import pytest
from slipway.traffic import gate

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host

pytestmark = pytest.mark.usefixtures("quick_systemd")


def live(host: Host) -> str:
    return os.readlink(host.current)


def running(host: Host) -> set[str]:
    """Instances of releases that run, or that crashed and were not put away; no timers."""
    states = support.unit_states(host.root).items()
    return {name for name, state in states if state.get("pid") and name.startswith("shop@")}


def enabled(host: Host) -> set[str]:
    return {name for name, state in support.unit_states(host.root).items() if state.get("enabled")}


def test_the_first_release_goes_live(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)

    answer = slipway("activate", RELEASE)

    assert (answer.json["changed"], answer.result["previous"]) == (True, None)
    assert live(host) == f"releases/{RELEASE}"
    assert gate.probe(host.current / "http.sock").ready(RELEASE)
    assert running(host) == enabled(host) == {host.unit(RELEASE)}


def test_the_next_release_takes_over_and_the_one_before_is_put_away(host: Host, slipway: Slipway) -> None:
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
    slipway("activate", RELEASE)

    answer = slipway("activate", OTHER)

    assert answer.result["previous"] == RELEASE
    assert live(host) == f"releases/{OTHER}"
    assert running(host) == enabled(host) == {host.unit(OTHER)}


def test_the_release_before_is_left_running_when_asked(host: Host, slipway: Slipway) -> None:
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
    slipway("activate", RELEASE)

    slipway("activate", OTHER, "--warm", "600")

    assert running(host) == {host.unit(RELEASE), host.unit(OTHER)}
    assert enabled(host) == {host.unit(OTHER)}
    assert slipway("activate", OTHER).json["changed"] is False
    assert running(host) == {host.unit(RELEASE), host.unit(OTHER)}


def test_activating_the_live_release_changes_nothing(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    slipway("activate", RELEASE)
    before = support.snapshot(host.root)

    answer = slipway("activate", RELEASE)

    assert answer.json["changed"] is False
    assert support.snapshot(host.root) == before


def test_a_live_release_that_was_stopped_is_started(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    slipway("activate", RELEASE)
    support.end_units(host.root)

    answer = slipway("activate", RELEASE)

    assert answer.json["changed"] is True
    assert gate.probe(host.current / "http.sock").ready(RELEASE)


def refused_by_the_gate(host: Host, slipway: Slipway, behaviour: str, *words: str) -> str:
    """Activates a bad release beside a good one; what the error says."""
    support.install_release(host, RELEASE)
    support.install_release(host, OTHER, behaviour)
    slipway("activate", RELEASE)

    answer = slipway("activate", OTHER, *words)

    assert (answer.code, answer.error) == (3, "gate-failed"), answer.json
    assert live(host) == f"releases/{RELEASE}"
    assert running(host) == enabled(host) == {host.unit(RELEASE)}
    assert gate.probe(host.current / "http.sock").ready(RELEASE)
    return answer.message


def test_a_release_that_is_never_ready_does_not_get_traffic(host: Host, slipway: Slipway) -> None:
    message = refused_by_the_gate(host, slipway, "never", "--timeout", "1")

    assert "HTTP 503" in message
    assert "database is not reachable" in message
    assert f"starting {OTHER}" in message


def test_a_release_that_crashes_ends_the_wait_at_once(host: Host, slipway: Slipway) -> None:
    started = time.monotonic()

    message = refused_by_the_gate(host, slipway, "crash", "--timeout", "60")

    assert time.monotonic() - started < 30

    assert "cannot import shop.main" in message


def test_a_socket_that_answers_for_another_release_does_not_get_traffic(host: Host, slipway: Slipway) -> None:
    message = refused_by_the_gate(host, slipway, "wrong", "--timeout", "1")

    assert "X-Release 20200101T000000Z-0000000" in message


def test_a_release_can_be_activated_again_after_it_failed(host: Host, slipway: Slipway) -> None:
    refused_by_the_gate(host, slipway, "crash")
    (host.release(OTHER) / "behaviour").write_text("ready")

    assert slipway("activate", OTHER).code == 0
    assert live(host) == f"releases/{OTHER}"


def test_an_instance_that_does_not_stop_is_reported_and_the_new_release_stays_live(
    host: Host, slipway: Slipway
) -> None:
    support.install_release(host, RELEASE, "unstoppable")
    support.install_release(host, OTHER)
    slipway("activate", RELEASE)

    answer = slipway("activate", OTHER)

    assert (answer.code, answer.error) == (6, "settle-unfinished")
    assert live(host) == f"releases/{OTHER}"
    (host.release(RELEASE) / "behaviour").write_text("ready")
    assert slipway("activate", OTHER).result["previous"] == RELEASE
    assert running(host) == {host.unit(OTHER)}


def test_a_release_that_is_not_complete_is_refused(host: Host, slipway: Slipway) -> None:
    host.release(OTHER).mkdir()

    for release, word in ((RELEASE, "is not on this host"), (OTHER, "only half-built")):
        for command in ("activate", "migrate"):
            answer = slipway(command, release)
            assert (answer.code, answer.error) == (2, "not-staged")
            assert word in answer.message


def test_a_pointer_that_slipway_did_not_write_is_left_alone(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    host.current.symlink_to("/opt/elsewhere")

    answer = slipway("activate", RELEASE)

    assert (answer.code, answer.error) == (2, "current-foreign")
    assert live(host) == "/opt/elsewhere"
    assert running(host) == set()


def test_migrations_run_in_their_unit_and_say_from_where_to_where(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)

    answer = slipway("migrate", RELEASE)

    assert answer.json["changed"] is True
    assert (answer.result["from"], answer.result["to"]) == ("0001", "0002")


def test_migrations_with_nothing_to_do_change_nothing(host: Host, slipway: Slipway) -> None:
    (support.install_release(host, RELEASE) / "migration").write_text("nothing")

    assert slipway("migrate", RELEASE).json["changed"] is False


def carrying(host: Host, release: str, head: str) -> None:
    path = host.release(release) / "manifest.json"
    said = json.loads(path.read_text())
    revisions = [
        {"id": "0001", "kind": "expand", "title": ""},
        {"id": "0002", "kind": "contract", "title": ""},
    ]
    path.write_text(json.dumps({**said, "schema_head": head, "schema_revisions": revisions[: int(head)]}))


def test_what_takes_away_is_not_migrated_while_a_kept_release_needs_it(host: Host, slipway: Slipway) -> None:
    for release, head in ((RELEASE, "0001"), (OTHER, "0002")):
        support.install_release(host, release)
        carrying(host, release, head)

    answer = slipway("migrate", OTHER, "--contract")

    assert (answer.code, answer.error) == (2, "old-shape-needed")
    for part in (RELEASE, "needs what 0002 takes away", "Nothing was changed", "slipway prune --keep 1"):
        assert part in answer.message
    assert not host.migration_settings(OTHER).exists()
    slipway("mark-bad", RELEASE, "--reason", "it is not to be gone back to")
    assert slipway("migrate", OTHER, "--contract").code == 0
    assert host.migration_settings(OTHER).read_text() == "SLIPWAY_ARGUMENTS=--contract\n"
    assert slipway("migrate", OTHER).code == 0
    assert host.migration_settings(OTHER).read_text() == "SLIPWAY_ARGUMENTS=\n"


def test_a_failed_migration_shows_its_journal(host: Host, slipway: Slipway) -> None:
    (support.install_release(host, RELEASE) / "migration").write_text("fail")

    answer = slipway("migrate", RELEASE)

    assert (answer.code, answer.error) == (3, "migration-failed")
    assert 'relation "products" is locked' in answer.message
