"""Baking: what a release does once it has the traffic, read from a real access log while it is written."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host
from tests.unit.slipway.test_activate import live
from tests.unit.slipway.test_recovery import wait_for

pytestmark = pytest.mark.usefixtures("quick_systemd")


@pytest.fixture
def serving(host: Host, slipway: Slipway) -> Host:
    support.install_release(host, RELEASE)
    slipway("activate", RELEASE)
    host.access_log.parent.mkdir(parents=True)
    host.access_log.write_text("")
    return host


def line(status: int, release: str = RELEASE, **more: object) -> str:
    entry = {
        "release": release,
        "status": status,
        "seconds": 0.012,
        "upstream": "unix:/srv/shop/current/http.sock",
    }
    return json.dumps(entry | more) + "\n"


@contextmanager
def requests(host: Host, status: Callable[[int], str], count: int = 400) -> Iterator[None]:
    """nginx at work: count requests, 100 a second; status gives the line of each."""
    over = threading.Event()

    def write() -> None:
        # What is written before the watch began is not the release's.
        wait_for(lambda: b'"step": "bake"' in host.journal.read_bytes())
        for number in range(count):
            with host.access_log.open("a") as stream:
                stream.write(status(number))
            if over.wait(0.01):
                return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_release_that_fails_one_of_five_after_fifty_requests_does_not_keep_the_traffic(
    serving: Host, slipway: Slipway
) -> None:
    with requests(serving, lambda number: line(500 if number >= 50 and number % 5 == 0 else 200)):
        began = time.monotonic()
        answer = slipway("bake", RELEASE, "--seconds", "30")

    assert (answer.code, answer.error) == (3, "bake-failed")
    assert time.monotonic() - began < 15, "it waited though it knew"
    details = answer.json["error"]["details"]
    assert details["requests"] >= 50
    assert details["errors"] >= 1
    assert details["error_percent"] > 1
    assert "answers were 5xx" in details["reason"]
    # It changes nothing itself.
    assert live(serving) == f"releases/{RELEASE}"
    assert slipway("list").result["releases"][0]["state"] == "live"
    entry = slipway("journal", "--lines", "1").result["entries"][0]
    assert (entry["step"], entry["result"], entry["details"]["errors"]) == (
        "bake",
        "failed",
        details["errors"],
    )


def test_a_release_that_answers_well_passes_with_its_numbers(serving: Host, slipway: Slipway) -> None:
    serving.access_log.write_text(line(500) * 100)

    def mixed(number: int) -> str:
        # Of another release, of another host, of nginx itself, and no JSON.
        others = [
            line(500, OTHER),
            line(502, "", upstream="192.0.2.1:8443"),
            line(503, "", upstream=""),
            "no JSON\n",
        ]
        return line(404 if number % 10 == 0 else 200) + others[number % 4]

    with requests(serving, mixed):
        answer = slipway("bake", RELEASE, "--seconds", "1.5").result

    assert answer["requests"] >= 20
    assert (answer["errors"], answer["restarts"], answer["not_ready"], answer["log_found"]) == (0, 0, 0, True)
    assert (answer["p50_ms"], answer["p95_ms"]) == (12, 12)


def test_answers_that_never_came_count_against_the_live_release(serving: Host, slipway: Slipway) -> None:
    with requests(serving, lambda number: line(502, "") if number % 2 else line(200)):
        answer = slipway("bake", RELEASE, "--seconds", "10")

    assert answer.error == "bake-failed"


@pytest.mark.parametrize(
    ("failures", "keeps"),
    [
        ([line(503)], True),
        ([line(503), line(503)], False),
        ([line(500)], False),
        ([line(503), line(500)], False),
        # nginx's own, where the release gave no answer.
        ([line(503, "")], False),
        ([line(502, "")], False),
    ],
)
def test_one_503_of_a_release_may_be_a_moment_and_whatever_else_fails_may_not(
    serving: Host, slipway: Slipway, failures: list[str], keeps: bool
) -> None:
    answers = [*failures, *[line(200)] * 25][:25]
    with requests(serving, answers.__getitem__, count=25):
        answer = slipway("bake", RELEASE, "--seconds", "1.2")

    assert answer.code == (0 if keeps else 3), answer
    numbers = answer.result if keeps else answer.json["error"]["details"]
    assert (numbers["requests"], numbers["errors"]) == (25, len(failures))


def test_few_requests_say_nothing_about_a_percentage(serving: Host, slipway: Slipway) -> None:
    with requests(serving, lambda number: line(500), count=19):
        answer = slipway("bake", RELEASE, "--seconds", "1.2").result

    assert (answer["requests"], answer["errors"]) == (19, 19)


def test_the_accepted_percentage_is_the_callers(serving: Host, slipway: Slipway) -> None:
    with requests(serving, lambda number: line(500 if number % 10 == 0 else 200)):
        assert slipway("bake", RELEASE, "--seconds", "1.5", "--max-errors", "30").code == 0
    for word in ("-1", "101", "nan", "x"):
        assert slipway("bake", RELEASE, "--seconds", "1", "--max-errors", word).error == "usage"


def test_the_log_is_followed_over_its_rotation(serving: Host, slipway: Slipway) -> None:
    def rotating(number: int) -> str:
        if number == 40:
            os.rename(serving.access_log, serving.access_log.with_suffix(".1"))
        return line(200)

    with requests(serving, rotating, count=80):
        answer = slipway("bake", RELEASE, "--seconds", "2.5").result

    assert answer["requests"] == 80


def test_a_release_that_dies_is_told_at_once(serving: Host, slipway: Slipway) -> None:
    threading.Timer(0.5, support.end_units, [serving.root]).start()
    began = time.monotonic()

    answer = slipway("bake", RELEASE, "--seconds", "60")

    assert answer.error == "bake-failed"
    assert time.monotonic() - began < 20
    assert "ended" in answer.json["error"]["details"]["reason"]


def test_a_release_that_is_no_longer_ready_does_not_keep_the_traffic(serving: Host, slipway: Slipway) -> None:
    support.end_units(serving.root)
    (serving.release(RELEASE) / "behaviour").write_text("never")
    slipway("recover", "--timeout", "0.1")

    answer = slipway("bake", RELEASE, "--seconds", "60")

    assert "not ready 3 times in a row" in answer.json["error"]["details"]["reason"]


def test_baking_keeps_nobody_from_switching_back(serving: Host, slipway: Slipway) -> None:
    support.install_release(serving, OTHER)
    slipway("start", OTHER)
    slipway("gate", OTHER)
    codes: list[int] = []
    back = threading.Timer(
        0.5, lambda: codes.append(support.run(serving.root, "switch", OTHER, "--expect", RELEASE).returncode)
    )
    back.start()

    answer = slipway("bake", RELEASE, "--seconds", "60")
    back.join()

    assert codes == [0]
    assert f"{OTHER} is live now" in answer.json["error"]["details"]["reason"]


def test_without_a_log_the_probes_still_count(serving: Host, slipway: Slipway) -> None:
    serving.access_log.unlink()

    answer = slipway("bake", RELEASE, "--seconds", "0.5").result

    assert (answer["log_found"], answer["requests"], answer["probes"]) == (False, 0, 1)
