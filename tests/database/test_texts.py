"""Hostile texts: what a stranger chose never acts on a terminal and never shows a value."""

from __future__ import annotations

import unicodedata

import pytest

from fabfile.database import texts, units


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("checkout worker", "checkout worker"),
        ("red \x1b[31malert\x1b[0m", "red alert"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://elsewhere\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jcleared", "cleared"),
        ("two\nlines\r\nand\ttabs", "two lines and tabs"),
        ("back\x08\x08space", "backspace"),
        ("right\u202eto left\u2066", "rightto left"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("ESC at the end\x1b", "ESC at the end"),
        ("unfinished \x1b[31", "unfinished"),
        ("line\u2028separator", "line separator"),
        ("a" + "\u0301" * 9, "a\u0301\u0301"),
        ("Grüße, 世界", "Grüße, 世界"),
        ("null\x00byte \udce9", "nullbyte"),
    ],
)
def test_nothing_that_acts_on_a_terminal_is_left(text: str, shown: str) -> None:
    assert texts.plain(text) == shown


def test_no_character_of_the_whole_of_unicode_acts_on_a_terminal() -> None:
    everything = "".join(map(chr, range(0x110000)))
    left = {unicodedata.category(char) for char in texts.plain(everything)}
    assert not left & texts.UNSEEN


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT * FROM t WHERE a = 'x''y' AND b = 42", "SELECT * FROM t WHERE a = ? AND b = ?"),
        (r"SELECT E'it\'s secret', 'C:\', 'secret'", "SELECT ?, ..."),
        ("SELECT $$secret$$ || $tag$ a $$ secret $tag$ || b", "SELECT ? || ? || b"),
        ("SELECT 'secret that was cut o", "SELECT ?"),
        ("SELECT E'secret \\", "SELECT ?"),
        ("SELECT $x$secret that was cut", "SELECT ?"),
        ("SELECT 1.5e10, .5, 0x1F, 1_000 FROM t2", "SELECT ?, ... FROM t2"),
        ("SELECT $1, a FROM t WHERE id = $12", "SELECT $1, a FROM t WHERE id = $12"),
        ("SELECT a -- secret\nFROM t /* secret /* deeper */ secret */ WHERE b", "SELECT a FROM t WHERE b"),
        ("SELECT a /* secret that was cut", "SELECT a"),
        ("ALTER ROLE shop PASSWORD 'secret'", "ALTER ROLE shop PASSWORD ?"),
        ("SELECT U&'secret', B'101', X'1F' FROM \"T'1\"", 'SELECT ?, ... FROM "T\'1"'),
        ("SELECT 'a'\n'secret' FROM t", "SELECT ? ? FROM t"),
        ("INSERT INTO t VALUES (1, 2, 3), ('a','b','c')", "INSERT INTO t VALUES (?, ...), (?, ...)"),
        ("SELECT sum1 FROM tab$x$y$ WHERE col='secret'", "SELECT sum1 FROM tab$x$y$ WHERE col=?"),
        (None, ""),
    ],
)
def test_a_query_shows_its_form_and_no_value(text: str | None, shown: str) -> None:
    assert texts.query(text) == shown
    assert "secret" not in texts.query(text)


def test_a_long_query_is_shortened_to_columns_and_not_to_characters() -> None:
    assert texts.query("SELECT columna, columnb FROM somewhere", 20) == "SELECT columna, c..."
    assert texts.shortened("世界世界世界", 8) == "世界..."


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("orders", "orders"),
        ("Orders", '"Orders"'),
        ('we"ird; DROP', '"we""ird; DROP"'),
        ("with\x1b[31m", 'U&"with\\001b[31m"'),
        ("back\\slash\n", 'U&"back\\\\slash\\000a"'),
        ("\u202eabc", 'U&"\\202eabc"'),
        ("\U000e0001", 'U&"\\+0e0001"'),
    ],
)
def test_a_name_is_shown_as_sql_would_have_it(name: str, shown: str) -> None:
    assert texts.name(name) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 kB"), (3 * 1024**3, "3.0 GB"), (None, "-")],
)
def test_sizes(value: float | None, shown: str) -> None:
    assert units.size(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.42, "0.4 s"),
        (59, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7322, "2 h 2 min"),
        (360000, "4 d 4 h"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert units.duration(seconds) == shown


def test_milliseconds_and_counts() -> None:
    assert [units.milliseconds(value) for value in (0.0421, 12.34, 4520, 72_000)] == [
        "0.0421 ms",
        "12.3 ms",
        "4.52 s",
        "1 min 12 s",
    ]
    assert units.count(12345678) == "12 345 678"
