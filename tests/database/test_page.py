"""The page of db-status: it stands alone, hostile texts stay texts, and a real browser draws it without complaint."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fabfile.database.findings import Finding, Level, Section, Table
from fabfile.database.screen import charts, page
from fabfile.errors import RefusedError
from tests.database import browser, sample

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Parsed(HTMLParser):
    """Every element with its attributes, all text, and whether what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text() -> str:
    return page.html(sample.report())


@pytest.fixture(scope="module")
def parsed(text: str) -> Parsed:
    return Parsed(text)


def test_it_is_whole(parsed: Parsed) -> None:
    assert parsed.open == []


def test_nothing_is_fetched_and_nothing_runs(parsed: Parsed, text: str) -> None:
    assert not {"script", "img", "link", "iframe", "object", "form", "base"} & {
        tag for tag, _ in parsed.elements
    }
    names = {name for _, attributes in parsed.elements for name in attributes}
    assert not {"src", "href", "style"} & names
    assert not {name for name in names if name.startswith("on")}
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_allows_this_style_and_nothing_else(parsed: Parsed, text: str) -> None:
    policy = next(each["content"] for each in parsed.all("meta") if each.get("http-equiv"))
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == (f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")


def test_hostile_texts_stay_texts(parsed: Parsed, text: str) -> None:
    assert any("</script><img src=x onerror=alert(1)>" in each for each in parsed.texts)
    assert not [char for char in text if ord(char) < 32 and char != "\n"]
    assert "\u202e" not in text


def test_every_drawing_says_what_it_shows(parsed: Parsed, text: str) -> None:
    drawings = parsed.all("svg")
    assert len(drawings) == 6
    for drawing in drawings:
        assert drawing["role"] == "img"
        for target in str(drawing["aria-labelledby"]).split():
            assert re.search(rf'id="{target}">[^<]+<', text)


def test_the_worst_comes_first_with_its_command_and_runbook(text: str) -> None:
    places = [
        text.index(part) for part in ("3 sessions wait", "replication could not", "78 of 97", "27 h old")
    ]
    assert places == sorted(places)
    assert "<code>fab db-backup --env production</code>" in text
    assert "docs/runbooks/db-backup.md" in text
    assert "<title>CRITICAL: shop on db-1, production</title>" in text


def test_a_calm_report_is_calm() -> None:
    calm = page.html(sample.report(Section("storage", (Finding("disk", Level.OK, "Enough room."),))))
    assert "Nothing is wrong" in calm
    assert '<header class="OK">' in calm


def test_nearness_puts_the_nearest_first_and_turns_over_what_is_worse_when_less() -> None:
    def check(name: str, value: float, warn: float, critical: float) -> Finding:
        return Finding(name, Level.OK, "", value=value, warn=warn, critical=critical)

    chart = charts.nearness(
        [
            check("disk", 40.5, 80, 90),
            check("certificate", 14, 21, 7),
            check("gone", 0, 21, 7),
            check("none", 1, 0, 0),
        ]
    )
    assert chart is not None
    assert [(bar.label, bar.value) for bar in chart.bars] == [
        ("gone", "150 %"),
        ("certificate", "50 %"),
        ("disk", "45 %"),
    ]
    assert chart.bars[1].warn == pytest.approx(charts.SPACE / 3 / charts.LONGEST)


def test_bars_are_long_as_their_measure_is() -> None:
    chart = charts.of_table(
        Table("Sizes", ("pid", "table", "bytes"), ((1, "a", 1024), (2, "b", 4096), (3, "c", None)))
    )
    assert chart is not None
    assert [(bar.label, bar.length, bar.value) for bar in chart.bars] == [
        ("2 b", charts.SPACE, "4.0 kB"),
        ("1 a", charts.SPACE / 4, "1.0 kB"),
    ]


def test_what_the_title_speaks_of_is_drawn_else_shares() -> None:
    dead = Table("Tables by dead rows", ("table", "live count", "dead count"), (("a", 5, 1), ("b", 7, 2)))
    disks = Table("Disks", ("folders", "size bytes", "used %"), (("/a", 10, 90.0), ("/b", 20, 9.0)))
    roles = Table("By role", ("role", "state", "sessions"), (("shop", "idle", 3), ("shop", "", 1)))
    drawn = [charts.of_table(table) for table in (dead, disks, roles)]
    assert [[(bar.whole, bar.value) for bar in chart.bars] for chart in drawn if chart] == [
        [("b", "2"), ("a", "1")],
        [("/a", "90.0 %"), ("/b", "9.0 %")],
        [("shop idle", "3"), ("shop", "1")],
    ]


def test_a_table_without_a_measure_is_not_drawn() -> None:
    assert charts.of_table(Table("Who", ("pid", "role"), ((1, "a"), (2, "b")))) is None
    assert charts.of_table(Table("Waits", ("wait", "sessions"), (("a", 0), ("b", 0)))) is None


def test_it_is_written_whole_and_for_its_owner(tmp_path: Path) -> None:
    target = tmp_path / "incident.html"
    target.write_text("before")
    page.write(sample.report(), target)
    assert target.read_text(encoding="utf-8").endswith("</html>\n")
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("path", ["", "missing/incident.html"])
def test_a_path_that_is_none_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"Nothing was written\."):
        page.write(sample.report(), tmp_path / path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    not browser.program(), reason="no Chromium is installed; on Debian: apt-get install chromium"
)
def test_a_real_browser_draws_it_and_has_nothing_to_say(tmp_path: Path) -> None:
    hostile = replace(sample.report(), database=sample.HOSTILE)
    page.write(hostile, tmp_path / "page.html")
    done = browser.run(tmp_path / "page.html", "--dump-dom")
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr
    drawn = Parsed(done.stdout)
    assert not {"img", "script"} & {tag for tag, _ in drawn.elements}
    assert len(drawn.all("rect")) > 20
    browser.picture(tmp_path / "page.html", tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
