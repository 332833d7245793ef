"""A full disk, a damaged manifest, a long log and a third instance: none is in the way of a rollback."""

from __future__ import annotations

import errno
import json
import os
import time

import pytest
from slipway.journal import writing
from slipway.releases.stage import stage_leftovers
from slipway.systemd import Systemd
from slipway.traffic.access_log import Counts, count
from slipway.turns import lock

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, THIRD, Host
from tests.unit.slipway.test_recovery import wait_for
from tests.unit.slipway.test_stage import stage

pytestmark = pytest.mark.usefixtures("quick_systemd")

NO_ROOM = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def live(host: Host, slipway: Slipway) -> str:
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
    assert slipway("activate", OTHER).code == 0
    return OTHER


@pytest.mark.parametrize("damage", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_manifest_of_an_old_release_stops_nothing_but_that_release(
    host: Host, slipway: Slipway, live: str, damage: bytes
) -> None:
    (support.install_release(host, THIRD) / "manifest.json").write_bytes(damage)

    status = slipway("status").result
    assert status["live"]["release"] == live
    assert THIRD in status["damaged"][THIRD]
    assert {row["release"]: row["state"] for row in slipway("list").result["releases"]}[THIRD] == "damaged"
    assert slipway("prune", "--keep", "5").code == 0
    assert slipway("recover").code == 0
    assert slipway("activate", THIRD).error == "manifest-damaged"
    assert slipway("activate", RELEASE).code == 0
    assert host.release(THIRD).is_dir(), "what may be somebody's evidence was swept"


def test_a_full_disk_does_not_stop_a_rollback(
    host: Host, slipway: Slipway, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = host.state / "reserve"
    write, note = writing._write_all, lock._write

    def when_there_is_room(descriptor: int, data: bytes) -> None:
        if reserve.exists():
            raise NO_ROOM
        write(descriptor, data)

    def never(descriptor: int, data: bytes) -> None:
        raise NO_ROOM

    monkeypatch.setattr(writing, "_write_all", when_there_is_room)
    monkeypatch.setattr(lock, "_write", never)
    assert slipway("activate", RELEASE).code == 0, "it needs the reserve"
    assert not reserve.exists()

    monkeypatch.setattr(writing, "_write_all", write)
    monkeypatch.setattr(lock, "_write", note)
    slipway("prune")
    assert reserve.stat().st_size == writing.RESERVE_BYTES


def test_without_the_reserve_a_full_disk_is_said_in_a_sentence(
    host: Host, slipway: Slipway, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise NO_ROOM

    monkeypatch.setattr(writing, "_write_all", full)
    assert slipway("activate", RELEASE).error == "journal-write"


def test_never_do_three_releases_run(host: Host, slipway: Slipway, live: str) -> None:
    assert slipway("activate", RELEASE, "--warm", "600").code == 0
    support.install_release(host, THIRD)

    answer = slipway("start", THIRD)

    assert answer.code == 0
    assert slipway("status").result["running"] == [RELEASE, THIRD]
    assert slipway("status").result["warm"] is None


def test_the_last_lines_of_a_long_log_are_its_last(host: Host) -> None:
    unit, began = host.unit(RELEASE), time.time() - 60
    (host.root.parent / "fake/logs" / unit).write_text("".join(f"line {number}\n" for number in range(5000)))

    assert Systemd(host).output(unit, began)[-1] == "line 4999"
    assert len(Systemd(host).output(unit, began)) == 2000
    assert Systemd(host).journal(unit, began) == [f"line {number}" for number in range(4950, 5000)]
    assert Systemd(host).journal(unit)[-1] == "line 4999"


def test_our_own_probe_is_no_customer() -> None:
    counts = Counts()
    probe = {"release": OTHER, "status": 200, "seconds": 0.1, "agent": "slipway-probe"}
    customer = {"release": OTHER, "status": 502, "seconds": 0.1, "agent": "Mozilla/5.0"}

    count(counts, [probe] * 100 + [customer], OTHER)

    assert (counts.requests, counts.errors) == (1, 1)


def test_what_a_killed_run_left_is_not_in_the_way_of_the_next(host: Host, slipway: Slipway) -> None:
    (host.staging / OTHER).mkdir()
    (host.staging / OTHER / "big").write_bytes(b"x" * 200_000)
    (leftover,) = stage_leftovers(host)
    bundle = support.good_bundle(host.root.parent)

    answer = stage(slipway, bundle)

    assert answer.code == 0
    assert not leftover.exists()


def test_no_port_but_the_edges_is_ever_closed(host: Host, slipway: Slipway) -> None:
    for port in ("22", "80", "443", "5432", "8444"):
        answer = slipway("drain", "--port", port)
        assert (answer.code, answer.error) == (2, "not-listening"), port
    host.private_server.unlink()
    assert slipway("drain").error == "not-listening"


def test_status_says_which_program_answers(
    host: Host, slipway: Slipway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.DIGEST", "0123456789abcdef")
    assert slipway("status").result["program"] == {"version": "1.0.0", "digest": "0123456789abcdef"}


def test_a_waiting_stop_of_the_warm_release_does_not_end_it_when_it_is_used_again(
    host: Host, slipway: Slipway, live: str
) -> None:
    slipway("activate", RELEASE, "--warm", "600")
    (host.runtime / "warm.json").write_text(json.dumps({"release": OTHER, "until": time.time() - 1}))

    assert slipway("start", OTHER).code == 0
    assert slipway("status").result["warm"]["release"] == OTHER
    wait_for(lambda: slipway("gate", OTHER).code == 0)


def test_a_disk_without_inodes_is_refused_before_anything_is_written(
    host: Host, slipway: Slipway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.releases.space.free_inodes", lambda path: 12)
    bundle = support.good_bundle(host.root.parent)
    before = support.snapshot(host.root)

    answer = stage(slipway, bundle)

    assert (answer.code, answer.error) == (2, "disk-inodes")
    assert support.snapshot(host.root) == before
