"""The lease and its fence: one deploy at a time, and none that was taken over from goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import Any

import pytest

from tests.unit.conftest import Answer, Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host
from tests.unit.slipway.test_activate import live
from tests.unit.slipway.test_recovery import wait_for

ADA = [
    "--holder",
    "ada",
    "--process",
    "11@laptop",
    "--command",
    "fab deploy",
    "--ticket",
    "OPS-7",
    "--nonce",
    "a" * 32,
]
BOB = ["--holder", "bob", "--process", "22@ci-3", "--command", "fab deploy --ref main", "--nonce", "b" * 32]


def acquire(slipway: Slipway, who: list[str], *words: str) -> Answer:
    return slipway("lease", "acquire", *who, *words)


def test_one_deploy_holds_the_lease_and_the_next_is_told_by_whom(host: Host, slipway: Slipway) -> None:
    first = acquire(slipway, ADA).result

    second = acquire(slipway, BOB)

    assert (first["fence"], first["taken_over"]) == (1, None)
    assert (second.code, second.error) == (4, "lease-held")
    details = second.json["error"]["details"]
    assert details.pop("idle") < 10
    assert details == {name: first[name] for name in details}
    assert set(details) >= {"holder", "process", "since", "renewed", "expires", "command", "ticket"}
    for word in ("ada", "OPS-7", "`fab deploy`", "11@laptop", "slipway lease break --fence 1"):
        assert word in second.message
    assert slipway("status").result["lease"]["state"] == "held"


def test_a_process_whose_answer_got_lost_is_given_its_lease_again(host: Host, slipway: Slipway) -> None:
    first = acquire(slipway, ADA)
    again = acquire(slipway, ADA)

    assert (first.json["changed"], again.json["changed"], again.result["fence"]) == (True, False, 1)
    assert again.result["expires"] > first.result["expires"]


def test_a_lease_given_back_is_free_and_its_fence_is_not_used_again(host: Host, slipway: Slipway) -> None:
    acquire(slipway, ADA)

    assert slipway("lease", "release", "--fence", "1").json["changed"] is True
    assert slipway("lease", "release", "--fence", "1").json["changed"] is False
    assert slipway("status").result["lease"] is None
    assert slipway("lease", "renew", "--fence", "1").error == "lease-lost"
    assert acquire(slipway, BOB).result["fence"] == 2


def test_an_expired_lease_is_taken_over_with_a_higher_fence(host: Host, slipway: Slipway) -> None:
    acquire(slipway, ADA, "--ttl", "0.3")
    wait_for(lambda: slipway("status").result["lease"]["state"] == "expired")

    taken = acquire(slipway, BOB).result

    assert (taken["fence"], taken["taken_over"]["holder"], taken["taken_over"]["fence"]) == (2, "ada", 1)
    for words in (["lease", "renew"], ["lease", "release"], ["record", "deploy.end"], ["recover"]):
        answer = slipway(*words, "--fence", "1")
        assert (answer.code, answer.error) == (7, "fence-stale"), answer.json
        assert "A newer deploy has taken over" in answer.message
    assert slipway("lease", "renew", "--fence", "2").code == 0


def test_the_heartbeat_keeps_a_lease_that_would_have_expired(host: Host, slipway: Slipway) -> None:
    acquire(slipway, ADA, "--ttl", "1.5")
    before = len(slipway("journal").result["entries"])
    for _ in range(4):
        time.sleep(0.5)
        assert slipway("lease", "renew", "--fence", "1").code == 0

    assert acquire(slipway, BOB).error == "lease-held"
    assert len(slipway("journal").result["entries"]) == before


def test_an_expired_lease_that_nobody_took_is_renewed(host: Host, slipway: Slipway) -> None:
    acquire(slipway, ADA, "--ttl", "0.1")
    time.sleep(0.2)

    assert slipway("lease", "renew", "--fence", "1").code == 0
    assert slipway("lease", "renew", "--fence", "2").error == "lease-lost"


def test_a_lease_written_before_a_reboot_expires_by_the_clock_of_the_wall(
    host: Host, slipway: Slipway
) -> None:
    acquire(slipway, ADA)
    kept = json.loads(host.lease.read_text())
    host.lease.write_text(json.dumps({**kept, "boot": "another", "uptime": 0.0}))
    assert acquire(slipway, BOB).error == "lease-held"

    host.lease.write_text(json.dumps({**kept, "boot": "another", "wall": time.time() - 1}))

    assert acquire(slipway, BOB).result["taken_over"]["holder"] == "ada"


def test_a_broken_lease_keeps_its_holder_out_at_once(host: Host, slipway: Slipway) -> None:
    acquire(slipway, ADA)

    broken = slipway("lease", "break", "--fence", "1").result

    assert broken["broken"]["holder"] == "ada"
    assert slipway("lease", "break", "--fence", "1").json["changed"] is False
    assert slipway("status").result["lease"]["state"] == "broken"
    assert slipway("record", "deploy.end", "--fence", "1").code == 7
    taken = acquire(slipway, ADA).result
    assert (taken["fence"], taken["taken_over"]["holder"]) == (3, "ada")


def test_only_the_lease_that_is_meant_is_broken(host: Host, slipway: Slipway) -> None:
    """Between the refusal and the break it may have become another's, and that one lives."""
    acquire(slipway, ADA)
    slipway("lease", "release", "--fence", "1")
    acquire(slipway, BOB)

    answer = slipway("lease", "break", "--fence", "1")

    assert (answer.code, answer.error) == (4, "lease-differs")
    assert "is bob's" in answer.message
    assert slipway("lease", "renew", "--fence", "2").code == 0
    assert slipway("lease", "break").code == 2


def test_a_process_of_the_same_number_and_name_is_another_one(host: Host, slipway: Slipway) -> None:
    acquire(slipway, ADA)

    twin = acquire(slipway, [*ADA[:-1], "c" * 32])

    assert (twin.code, twin.error) == (4, "lease-held")


def test_who_has_a_fence_that_other_hosts_have_outdated_gets_a_higher_one(
    host: Host, slipway: Slipway
) -> None:
    acquire(slipway, ADA)

    assert acquire(slipway, ADA, "--above", "7").result["fence"] == 8
    assert slipway("record", "deploy.begin", "--fence", "1").error == "fence-stale"
    assert slipway("lease", "renew", "--fence", "8").code == 0


def test_a_lease_tells_how_long_nobody_has_heard_of_its_holder(host: Host, slipway: Slipway) -> None:
    acquire(slipway, ADA)
    kept = json.loads(host.lease.read_text())
    host.lease.write_text(json.dumps({**kept, "uptime": kept["uptime"] - 40}))

    assert 40 <= slipway("status").result["lease"]["idle"] < 50
    assert 40 <= acquire(slipway, BOB).json["error"]["details"]["idle"] < 50


def test_two_that_ask_at_once_do_not_both_get_it(host: Host) -> None:
    words = [["--holder", f"h{n}", "--process", f"{n}@ci", "--command", "fab deploy"] for n in range(6)]
    asked = [
        subprocess.Popen(support.command(host.root, "lease", "acquire", *who), stdout=subprocess.PIPE)
        for who in words
    ]

    codes = sorted((process.communicate(timeout=60), process.returncode)[1] for process in asked)

    assert codes == [0, 4, 4, 4, 4, 4]


def test_a_fence_that_other_hosts_have_seen_is_exceeded(host: Host, slipway: Slipway) -> None:
    assert acquire(slipway, ADA, "--above", "41").result["fence"] == 42


def test_an_unreadable_lease_is_none_and_its_fence_still_counts(host: Host, slipway: Slipway) -> None:
    acquire(slipway, ADA)
    host.lease.write_text("{")

    assert slipway("status").result["lease"] is None
    assert acquire(slipway, BOB).result["fence"] == 2


def test_a_damaged_fence_lets_nobody_in_and_says_what_to_do(host: Host, slipway: Slipway) -> None:
    host.fence.write_text("x")

    answer = slipway("record", "deploy.end", "--fence", "9")

    assert (answer.code, answer.error) == (3, "fence-damaged")
    assert slipway("status").result["fence"] is None
    assert slipway("record", "deploy.end").code == 0


def test_a_deploy_that_was_frozen_wakes_up_to_a_closed_door(host: Host, slipway: Slipway) -> None:
    """A controller stopped between two steps; another one takes over; the first is let go on."""
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
    slipway("activate", RELEASE)
    fence = str(acquire(slipway, ADA, "--ttl", "0.5").result["fence"])
    for words in (["start", OTHER], ["gate", OTHER]):
        assert slipway(*words, "--fence", fence).code == 0
    switch = support.command(host.root, "switch", OTHER, "--fence", fence)
    zombie = subprocess.Popen(["sh", "-c", 'kill -STOP $$; exec "$@"', "sh", *switch], stdout=subprocess.PIPE)
    time.sleep(0.6)
    taken = str(acquire(slipway, BOB).result["fence"])
    assert slipway("record", "deploy.begin", "--fence", taken).code == 0
    before = support.snapshot(host.root)

    os.kill(zombie.pid, signal.SIGCONT)
    said = json.loads(zombie.communicate(timeout=30)[0])

    assert (zombie.returncode, said["error"]["code"]) == (7, "fence-stale")
    assert live(host) == f"releases/{RELEASE}"
    assert support.snapshot(host.root) == before
    assert slipway("switch", OTHER, "--fence", taken).code == 0


def test_a_zombie_that_waited_for_the_lock_is_refused_when_it_gets_it(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    from slipway.turns.lock import held

    with held(host.lock, "slipway stage", "bob"):
        zombie = subprocess.Popen(
            support.command(host.root, "start", RELEASE, "--fence", "1", "--wait", "30"),
            stdout=subprocess.PIPE,
        )
        time.sleep(0.5)
        assert slipway("record", "deploy.begin", "--fence", "2").code == 0

    said = json.loads(zombie.communicate(timeout=30)[0])
    assert (zombie.returncode, said["error"]["code"]) == (7, "fence-stale")


def test_the_heartbeat_does_not_wait_for_the_hosts_lock(host: Host, slipway: Slipway) -> None:
    from slipway.turns.lock import held

    with held(host.lock, "slipway stage", "ada"):
        assert acquire(slipway, ADA).code == 0
        assert slipway("lease", "renew", "--fence", "1").code == 0
        assert slipway("record", "deploy.begin", "--fence", "1").code == 0
        assert slipway("lease", "release", "--fence", "1").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--holder", "a\nb", "--process", "1@h", "--command", "c"],
        ["--holder", "a", "--process", "1@-oProxyCommand=x", "--command", "c"],
        ["--holder", "a", "--process", "x@h", "--command", "c"],
        ["--holder", "a", "--process", "1@h", "--command", "\x1b[2J"],
        ["--holder", "a", "--process", "1@h", "--command", "c", "--ttl", "0"],
        ["--holder", "a", "--process", "1@h", "--command", "c", "--ttl", "inf"],
        ["--holder", "a", "--process", "1@h"],
    ],
)
def test_a_lease_for_nobody_is_refused(host: Host, slipway: Slipway, words: list[str]) -> None:
    before = support.snapshot(host.root)

    assert acquire(slipway, words).code == 2
    assert support.snapshot(host.root) == before


def run_batch(host: Host, batch: Any) -> tuple[int, Any]:
    text = batch if isinstance(batch, str) else json.dumps(batch)
    done = subprocess.run(support.command(host.root, "run"), input=text, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def test_a_batch_is_performed_in_one_process_until_one_fails(host: Host, slipway: Slipway) -> None:
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
    slipway("activate", RELEASE)
    fence = ["--fence", "1"]

    code, answers = run_batch(
        host, [["lease", "acquire", *ADA], ["start", OTHER, *fence], ["gate", OTHER, *fence]]
    )
    assert (code, [answer["command"] for answer in answers]) == (0, ["lease acquire", "start", "gate"])
    code, answers = run_batch(
        host,
        [
            ["switch", OTHER, *fence, "--expect", RELEASE],
            ["verify", OTHER, *fence],
            ["settle", OTHER, *fence],
            ["record", "deploy.end", *fence],
            ["lease", "release", *fence],
        ],
    )
    assert (code, [answer["exit"] for answer in answers]) == (0, [0] * 5), answers
    code, answers = run_batch(
        host, [["verify", OTHER], ["switch", RELEASE, "--expect", "none"], ["stop", RELEASE]]
    )

    assert (code, [answer["exit"] for answer in answers]) == (2, [0, 2])
    assert (answers[1]["command"], answers[1]["error"]["code"]) == ("switch", "live-differs")
    assert live(host) == f"releases/{OTHER}"


@pytest.mark.parametrize(
    "batch",
    [
        "", "{", "{}", "[]", "[[]]", '["status"]', "[[1]]", [["status"]] * 51, [["run"]], [["status", *["x"] * 50]],
        [["stage", "--bundle", "-", "--sha256", "0" * 64]], [["stage", "--bundle=-", "--sha256", "0" * 64]],
        [["start", RELEASE], ["start", "../../etc"]], [["start", RELEASE], ["frobnicate"]], "[" * 100_000,
        [["start", RELEASE], ["--help"]], [["start", RELEASE], ["stage", "--bund", "-", "--sha256", "0" * 64]],
    ],
    ids=lambda batch: str(batch)[:40],
)  # fmt: skip
def test_a_batch_with_anything_wrong_in_it_does_nothing(host: Host, slipway: Slipway, batch: Any) -> None:
    support.install_release(host, RELEASE)
    before = support.snapshot(host.root)

    code, answer = run_batch(host, batch)

    assert (code, answer["error"]["code"]) in ((2, "batch"), (2, "usage"), (2, "release-id")), answer
    assert support.snapshot(host.root) == before
