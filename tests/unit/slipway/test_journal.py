"""The journal: a chain that names what was altered, torn lines in it, and records that anyone may try to spoil."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from slipway.journal.writing import Journal

from tests.unit.conftest import Answer, Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import RELEASE, Host
from tests.unit.slipway.test_program import on_terminal


@pytest.fixture
def told(host: Host, slipway: Slipway) -> Host:
    """A host whose journal has five records."""
    for number in range(5):
        slipway("record", "deploy.note", "--details", json.dumps({"number": number}))
    return host


def lines(host: Host) -> list[bytes]:
    return host.journal.read_bytes().splitlines(keepends=True)


def test_every_line_carries_the_sha256_of_the_line_before_it(told: Host, slipway: Slipway) -> None:
    before = b""
    for line in lines(told):
        assert json.loads(line)["previous"] == hashlib.sha256(before).hexdigest()
        before = line.removesuffix(b"\n")

    verified = slipway("journal", "--verify").result["verified"]

    assert (verified["lines"], verified["sequence"], verified["torn"], verified["unchained"]) == (5, 5, 0, 0)
    assert verified["sha256"] == hashlib.sha256(before).hexdigest()


def edited(found: list[bytes]) -> list[bytes]:
    return [*found[:1], found[1].replace(b'"number": 1', b'"number": 9'), *found[2:]]


def last_edited(found: list[bytes]) -> list[bytes]:
    return [*found[:-1], found[-1].replace(b'"number": 4', b'"number": 9')]


ALTERATIONS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int, str]] = {
    "a line edited": (edited, 2, "links to other bytes"),
    "every line edited": (lambda found: [line.replace(b'"root"', b'"anne"') for line in found], 1, "other bytes"),
    "the last line edited": (last_edited, 5, "not the line that was written last"),
    "a line taken out": (lambda found: found[:2] + found[3:], 3, "1 of the lines before it were taken out"),
    "the first line taken out": (lambda found: found[1:], 1, "taken out"),
    "lines cut off the end": (lambda found: found[:3], 3, "had a line 5, and ends before it"),
    "a line put in": (lambda found: [*found[:2], found[0], *found[2:]], 2, "other bytes"),
    "two lines exchanged": (lambda found: [found[0], found[2], found[1], *found[3:]], 2, "taken out"),
    "a link taken out": (
        lambda found: [*found[:3], found[3].replace(b'"previous"', b'"before"'), found[4]], 4, "lost its link"
    ),
    "everything replaced": (lambda found: [b'{"step": "x", "phase": "end", "sequence": 1}\n'], 1, "ends before it"),
    "emptied": (lambda found: [], 0, "ends before it"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALTERATIONS)
def test_verifying_names_the_first_line_that_was_altered(told: Host, slipway: Slipway, name: str) -> None:
    alter, line, reason = ALTERATIONS[name]
    told.journal.write_bytes(b"".join(alter(lines(told))))

    answer = slipway("journal", "--verify")

    assert (answer.code, answer.error) == (3, "journal-altered")
    assert answer.json["error"]["details"]["line"] == line
    assert reason in answer.json["error"]["details"]["reason"]
    assert f"Line {line} of {told.journal}" in answer.message


def test_a_torn_line_stays_in_the_chain_and_may_not_be_changed_either(told: Host, slipway: Slipway) -> None:
    whole = told.journal.read_bytes()
    told.journal.write_bytes(whole + b'{"schema": 1, "ti')
    assert slipway("journal", "--verify").code == 0

    slipway("record", "deploy.end")

    verified = slipway("journal", "--verify").result["verified"]
    assert (verified["lines"], verified["torn"], verified["sequence"]) == (8, 1, 7)
    told.journal.write_bytes(told.journal.read_bytes().replace(b'"ti\n', b'"tx\n'))
    assert slipway("journal", "--verify").json["error"]["details"]["line"] == 6


def test_a_journal_from_before_the_chain_goes_on_in_it(host: Host, slipway: Slipway) -> None:
    old = {
        "schema": 1,
        "time": "2026-11-01T00:00:00Z",
        "sequence": 7,
        "who": "ada",
        "step": "stage",
        "phase": "end",
    }
    host.journal.write_text(json.dumps(old) + "\n")

    slipway("record", "deploy.begin")

    verified = slipway("journal", "--verify").result["verified"]
    assert (verified["lines"], verified["unchained"], verified["sequence"]) == (2, 1, 8)
    host.journal.write_text(host.journal.read_text().replace("ada", "eve"))
    assert slipway("journal", "--verify").json["error"]["details"]["line"] == 1


def test_a_last_line_longer_than_what_is_read_as_a_rule_is_linked_to(host: Host, slipway: Slipway) -> None:
    slipway("record", "deploy.plan", "--details", json.dumps({"plan": "x" * 60_000}))
    slipway("record", "deploy.begin")

    assert slipway("journal", "--verify").result["verified"]["lines"] == 2
    assert [entry["sequence"] for entry in slipway("journal").result["entries"]] == [1, 2]


def test_records_of_several_processes_at_once_are_one_chain(host: Host, slipway: Slipway) -> None:
    commands = [
        support.command(host.root, "record", "deploy.note", "--details", f'{{"by": {number}}}')
        for number in range(6)
    ]

    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]

    assert [process.wait(60) for process in processes] == [0] * 6
    assert slipway("journal", "--verify").result["verified"]["sequence"] == 6


def test_a_record_says_who_under_which_fence_and_is_no_step_of_slipways(host: Host, slipway: Slipway) -> None:
    details = {"lost": 0, "max_gap_ms": 12.5, "plan": "ab" * 32}
    words = ["deploy.end", "--release", RELEASE, "--details", json.dumps(details)]
    slipway("record", *words, "--fence", "4", env={**os.environ, "SUDO_USER": "ada"})

    fence, entry = slipway("journal").result["entries"]

    assert (fence["step"], fence["details"]) == ("fence", {"from": 0, "to": 4})
    assert (entry["step"], entry["phase"], entry["who"], entry["fence"]) == ("deploy.end", "note", "ada", 4)
    assert (entry["release"], entry["details"]) == (RELEASE, details)
    slipway("record", "activate.switch", "--release", RELEASE, "--details", '{"previous": "x"}')
    status = slipway("status").result
    assert (status["unfinished"], status["previous"], status["last_record"]["kind"]) == (
        [],
        None,
        "deploy.end",
    )
    assert slipway("journal", "--lines", "1").result["entries"][0]["fence"] is None


HOSTILE = {
    "no kind": ["deploy"],
    "a path": ["../../etc.passwd"],
    "capitals": ["Deploy.begin"],
    "a newline": ["deploy.begin\n"],
    "a very long kind": ["a." * 40 + "a"],
    "no JSON": ["deploy.end", "--details", "{"],
    "no object": ["deploy.end", "--details", "[]"],
    "no number": ["deploy.end", "--details", '{"a": NaN}'],
    "deep": ["deploy.end", "--details", '{"a":' + "[" * 5000 + "]" * 5000 + "}"],
    "a little too deep": ["deploy.end", "--details", '{"a":' + "[" * 16 + "]" * 16 + "}"],
    "a release that is a path": ["deploy.end", "--release", "../../etc"],
    "a fence that is none": ["deploy.end", "--fence", "-1"],
    "a fence of other digits": ["deploy.end", "--fence", "٣"],
    "a fence beyond all": ["deploy.end", "--fence", "9" * 30],
}


def refused(host: Host, answer: Answer, before: dict[str, str]) -> None:
    assert answer.code == 2, answer.json
    assert "Nothing was changed." in answer.message
    assert support.snapshot(host.root) == before


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_that_is_none_is_refused(host: Host, slipway: Slipway, name: str) -> None:
    refused(host, slipway("record", *HOSTILE[name]), support.snapshot(host.root))


def test_details_of_a_megabyte_are_refused(host: Host, slipway: Slipway) -> None:
    before = support.snapshot(host.root)
    details = json.dumps({"a": "x" * 2**20})

    refused(host, slipway("record", "deploy.end", "--details", details), before)
    for text in (details, "y" * 65_537):
        done = subprocess.run(
            support.command(host.root, "run"),
            input=json.dumps([["record", "deploy.end", "--details", text]]),
            capture_output=True,
            text=True,
        )
        answers = json.loads(done.stdout)
        error = answers["error"] if isinstance(answers, dict) else answers[0]["error"]
        assert (done.returncode, error["code"]) == (2, "batch" if len(text) > 2**18 else "details")
    assert support.snapshot(host.root) == before


def test_control_characters_reach_neither_journal_nor_terminal(host: Host, slipway: Slipway) -> None:
    for word in ("\x1b[2J", "a\nb", "a\tb", "\u202e", "\udcff", " ", "x" * 501):
        assert slipway("mark-bad", RELEASE, "--reason", word).code == 2, repr(word)
        assert slipway("maintenance", "on", "--message", word).code == 2, repr(word)
    slipway("record", "deploy.end", "--details", json.dumps({"said": "\x1b[2Jgone\n\u202e"}))
    assert lines(host)[0].count(b"\\u001b") == len(lines(host)) == 1
    # As a file damaged by hand may say.
    host.journal.write_bytes(lines(host)[0].replace(b'"root"', '"ev\x7f\x9b1mil\u202e"'.encode()))

    seen = on_terminal(host, "journal")

    assert "deploy.end note" in seen
    assert all(character.isprintable() or character == "\n" for character in seen), repr(seen)


def test_a_journal_that_cannot_be_written_stops_what_was_asked(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    slipway("activate", RELEASE)
    size = host.journal.stat().st_size

    done = support.run(host.root, "mark-bad", RELEASE, "--reason", "slow", limit_bytes=size + 20)

    said = json.loads(done.stdout)
    assert (done.returncode, said["error"]["code"]) == (3, "journal-write"), said
    assert not (host.release(RELEASE) / "bad.json").exists()
    assert slipway("recover").json["changed"] is True
    assert slipway("journal", "--verify").code == 0
    assert Path(host.journal).stat().st_size > size
    assert Journal(host.journal, "test").is_torn() is False
