"""The screen of db-status: what comes first, that it fits, and that nothing in it acts on the terminal."""

from __future__ import annotations

import io
import re
import unicodedata

import pytest

from fabfile.database.findings import Finding, Level, Report, Section
from fabfile.database.screen import terminal
from tests.database import sample


def screen(
    report: Report,
    monkeypatch: pytest.MonkeyPatch,
    width: int | None = 80,
    encoding: str = "utf-8",
    **how: object,
) -> str:
    monkeypatch.setenv("COLUMNS", str(width)) if width else monkeypatch.delenv("COLUMNS", raising=False)
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    terminal.show(report, stream=file, **how)  # type: ignore[arg-type]
    file.flush()
    return file.buffer.getvalue().decode(encoding)


def labels(text: str) -> list[str]:
    return re.findall(r"^(OK|WARN|CRITICAL|UNKNOWN)\b", text, re.MULTILINE)


def test_the_verdict_comes_first_and_then_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    text = screen(sample.report(), monkeypatch)
    assert text.startswith("CRITICAL  production: shop on db-1 is a primary of PostgreSQL 14.23.\n")
    assert "1 critical, 1 unknown, 3 warnings, 5 ok. Looked at 2026-11-23 03:12:44" in text
    assert labels(text) == ["CRITICAL", "CRITICAL", "UNKNOWN", "WARN", "WARN", "WARN", "OK"]


def test_every_problem_says_what_to_type_and_what_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = screen(sample.report(), monkeypatch).split("\n\n")
    blocked = next(block for block in blocks if "3 sessions wait" in block)
    assert "          type  fab db-activity --env production\n" in blocked
    assert "          read  docs/runbooks/db-blocked.md" in blocked


@pytest.mark.parametrize("sections", [(), ("sessions", "storage", "statements")])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_it_fits_eighty_columns(
    sections: tuple[str, ...], encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = screen(sample.report(), monkeypatch, encoding=encoding, sections=sections)
    assert max(map(len, text.splitlines())) <= 80


def test_a_command_is_never_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    command = "fab db-explain --env production --query-id -4411 --json " + "x" * 60
    section = Section("s", (Finding("a", Level.WARN, "Look.", command),))
    assert f"type  {command}\n" in screen(sample.report(section), monkeypatch)


def test_a_pipe_gets_each_sentence_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = screen(sample.report(), monkeypatch, width=None)
    assert re.search(r"^CRITICAL  3 sessions wait.*stands at their root\.$", text, re.MULTILINE)


def test_nothing_hostile_reaches_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = screen(sample.report(), monkeypatch, sections=("sessions", "statements"))
    assert "onerror=alert(1)" in text, "the sample's hostile text is shown as text"
    assert {unicodedata.category(char) for char in text if char != "\n"}.isdisjoint({"Cc", "Cf", "Cs"})


def test_a_terminal_without_utf_8_gets_what_it_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    section = Section("s", (Finding("a", Level.WARN, "Die Größe → 世界."),))
    text = screen(sample.report(section), monkeypatch, encoding="ascii")
    assert r"Die Gr\xf6\xdfe \u2192" in text


def test_only_problems_leaves_out_what_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    text = screen(sample.report(), monkeypatch, only_problems=True)
    assert "OK  " not in text
    assert "3 sessions wait" in text


def test_a_section_shows_all_its_lines_and_tables_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    text = screen(sample.report(), monkeypatch, sections=("sessions",))
    assert "1 critical, 1 warning, 1 ok in sessions alone" in text
    assert "The longest query runs for 0.2 s (warning from 1 min)." in text
    assert "Lock:relation" in text
    assert "backup" not in text


def test_a_section_that_was_not_read_is_never_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    text = screen(sample.report(sample.REPLICATION), monkeypatch)
    assert text.startswith("UNKNOWN  ")
    assert "replication could not be read: it was not read within 2 s" in text


def test_a_server_that_is_down_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    report = sample.report(Section("server", (Finding("server", Level.CRITICAL, "It does not answer."),)))
    down = replace(
        report, server=replace(report.server, role="down", version="", started=None, note="by SSH")
    )
    text = screen(down, monkeypatch)
    assert "shop on db-1 is down.\n" in text
    assert "          by SSH.\n" in text
