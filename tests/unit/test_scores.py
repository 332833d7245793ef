"""A score that falls, is not measured, or is missed for longer than somebody said is told."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable

import pytest

from tests.scores import __main__ as command
from tests.scores import lynis, postgresql, ssh, systemd, table, tls
from tests.scores.table import Score, Waiver

TODAY = datetime.date(2026, 11, 27)
NGINX = Score("systemd: nginx.service", 3.0, 5.0)
LATER = Waiver(NGINX.name, "it opens ports", datetime.date(2027, 1, 1))


def test_what_is_as_good_as_it_was_and_as_it_should_be_has_nothing_against_it() -> None:
    assert table.complaints([NGINX], {NGINX.name: 3.0}, {}, TODAY) == []


@pytest.mark.parametrize(
    ("score", "before", "waiver", "says"),
    [
        (Score(NGINX.name, 3.1, 5.0), 3.0, None, "fell from 3 to 3.1"),
        (Score(NGINX.name, 79, 70, lower=False), 80, None, "fell from 80 to 79"),
        (Score(NGINX.name, 5.1, 5.0), 5.1, None, "is 5.1, its target 5"),
        (Score(NGINX.name, 5.1, 5.0), 5.1, Waiver(NGINX.name, "old", TODAY.replace(day=26)), "ended on 2026-11-26"),
        (NGINX, 3.0, LATER, "is held: take its waiver away"),
    ],
)  # fmt: skip
def test_what_is_worse_than_it_was_or_than_it_should_be_is_told(
    score: Score, before: float, waiver: Waiver | None, says: str
) -> None:
    waived = {waiver.score: waiver} if waiver else {}
    (said,) = table.complaints([score], {score.name: before}, waived, TODAY)
    assert says in said


def test_what_is_missed_for_a_time_is_waived_until_it_falls_further() -> None:
    missed = Score(NGINX.name, 6.0, 5.0)
    assert table.complaints([missed], {missed.name: 6.0}, {LATER.score: LATER}, TODAY) == []
    assert table.complaints([missed], {missed.name: 5.9}, {LATER.score: LATER}, TODAY)


def test_what_was_not_measured_and_a_waiver_of_nothing_are_told() -> None:
    said = table.complaints([], {"lynis: index": 80}, {LATER.score: LATER}, TODAY)
    assert said == [
        "lynis: index was not measured; it was 80.",
        f"There is no score {NGINX.name}: take its waiver away.",
    ]


def test_what_is_written_is_read_again() -> None:
    scores = [NGINX, Score("lynis: index", 71, 80, lower=False, about="AUTH-9262 | FILE-6310")]
    assert table.kept(table.rendered(scores, {})) == {NGINX.name: 3.0, "lynis: index": 71}


def test_the_page_has_each_score_held_or_waived() -> None:
    text = command.PAGE.read_text(encoding="utf-8")
    assert table.kept(text), "docs/scores.md has no scores"
    rows = [line for line in text.splitlines() if "| no |" in line]
    assert rows == []


def test_units_are_rated_by_kind_and_releases_have_one_name() -> None:
    said = """UNIT                                     EXPOSURE PREDICATE HAPPY
nginx.service                                 3.0 OK        x
shop@20261127T040506Z-0123abc.service         0.4 SAFE      x
● shop@20261127T040507Z-0123abd.service       0.5 SAFE      x
→ Overall exposure level for slipway-metrics-shop.service: 5.8 MEDIUM x
getty@tty1.service                            9.6 UNSAFE    x
"""
    found = {score.name: (score.value, score.held) for score in systemd.scores(said, "shop")}
    assert found == {
        "systemd: nginx.service": (3.0, True),
        "systemd: shop@.service": (0.5, True),
        "systemd: slipway-metrics-shop.service": (5.8, False),
    }


def test_algorithms_with_a_failure_or_a_warning_are_counted_and_named() -> None:
    said = {
        "kex": [
            {"algorithm": "ecdh-sha2-nistp256", "notes": {"fail": ["curve"], "warn": []}},
            {"algorithm": "curve25519-sha256", "notes": {"info": ["since"]}},
        ],
        "mac": [{"algorithm": "umac-64@openssh.com", "notes": {"warn": ["small"]}}],
    }
    failed, warned = ssh.scores(json.dumps(said))
    assert (failed.value, failed.about) == (1, "ecdh-sha2-nistp256")
    assert (warned.value, warned.about) == (1, "umac-64@openssh.com")


def test_a_report_of_lynis_has_its_index_and_warnings() -> None:
    index, warnings = lynis.scores(
        "warning[]=PKGS-7392|old|-|-|\nsuggestion[]=AUTH-9262|x|-|-|\nhardening_index=66\n"
    )
    assert (index.value, index.about, index.held) == (66, "AUTH-9262", False)
    assert (warnings.value, warnings.about) == (1, "PKGS-7392")


def test_findings_of_testssl_count_from_medium_on() -> None:
    rows = [{"id": f"ok-{number}", "severity": "OK"} for number in range(30)]
    rows += [{"id": "BEAST", "severity": "LOW"}, {"id": "BREACH", "severity": "MEDIUM"}]
    (score,) = tls.scores(json.dumps(rows))
    assert (score.value, score.about) == (1, "BREACH")


def test_an_item_that_a_server_gives_no_ground_for_is_neither_held_nor_missed() -> None:
    answers = ["1"] * len(postgresql.ITEMS)
    answers[0], answers[1] = "-", "0"
    (score,) = postgresql.scores("|".join(answers))
    assert (score.value, score.target) == (len(answers) - 2, len(answers) - 1)
    assert score.about.endswith(
        f"not: {postgresql.ITEMS[1].name}; nothing to ask of: {postgresql.ITEMS[0].name}"
    )


@pytest.mark.parametrize(("rate", "said"), [(lynis.scores, ""), (tls.scores, "[]"), (postgresql.scores, "")])
def test_a_program_that_did_not_come_to_its_end_is_no_good_score(
    rate: Callable[[str], list[Score]], said: str
) -> None:
    with pytest.raises(ValueError, match=r"no index|did not come|answered"):
        rate(said)
