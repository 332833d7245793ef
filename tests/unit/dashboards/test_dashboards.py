"""Each panel says in which unit, what it shows, and where to read on; what is committed is the generator's."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dashboards.__main__ import BOARDS, FOLDER, text
from dashboards.board import COLUMNS, LIVE_SINCE, RUNBOOKS, Board
from tests.dashboards.recording import Window, questions
from tests.lab import prometheus
from tests.unit.contract.repository import ROOT

TABLE = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
RULES = (ROOT / "roles/prometheus/files/alerts.yml").read_text(encoding="utf-8")
every_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
PANELS = [(board, panel) for board in BOARDS for panel in board.panels]
every_panel = pytest.mark.parametrize(
    ("board", "panel"), PANELS, ids=[f"{board.name}: {panel.title}" for board, panel in PANELS]
)
# Whose plugins outlive Grafana's upgrades.
KINDS = {"timeseries", "stat", "table"}
# What a metric's name says of its unit; a share, a count and a moment have none of it.
SUFFIXES = {
    "s": r"_seconds|unit=\"s\"",
    "bytes": r"_bytes|unit=\"B\"",
    "Bps": r"rate\(\w+_bytes_total",
    "d": r"unit=\"d\"",
}
RATES = {"reqps", "ops", "Bps"}


@every_board
def test_the_committed_file_is_what_the_generator_writes(board: Board) -> None:
    assert (FOLDER / f"{board.name}.json").read_text(encoding="utf-8") == text(board)


def test_no_other_file_is_committed_beside_them() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(board.name for board in BOARDS)


@every_panel
def test_a_panel_says_what_it_shows_in_which_unit_and_where_to_read_on(board: Board, panel: Any) -> None:
    written = panel.written(1, 0, 0)

    assert re.match(r"[A-Z].*\.$", written["description"], re.DOTALL), written["description"]
    assert written["fieldConfig"]["defaults"]["unit"]
    assert [link["url"] for link in written["links"]] == [f"${{runbooks}}/{panel.page}"]
    assert (ROOT / "docs/runbooks" / panel.page).is_file()
    assert written["type"] in KINDS


@every_panel
def test_its_unit_is_that_of_what_is_asked(board: Board, panel: Any) -> None:
    for query in panel.queries:
        if panel.unit in SUFFIXES:
            assert re.search(SUFFIXES[panel.unit], query.expr), query.expr
        assert (panel.unit in RATES) == bool(
            re.search(r"\brate\(", query.expr)
            and not re.search(r" / |histogram_quantile|mode=\"idle\"|cpu", query.expr)
        ), query.expr


@every_panel
def test_a_service_or_a_host_that_is_chosen_is_the_one_that_is_asked_for(board: Board, panel: Any) -> None:
    for query in panel.queries:
        assert re.search(r'app=~"\$app"|host=~"\$host"', query.expr), query.expr


@every_board
def test_no_two_panels_of_a_dashboard_overlap_or_have_one_name(board: Board) -> None:
    taken = [
        (x, y)
        for panel in board.written()["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    titles = [panel.title for panel in board.panels]

    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < COLUMNS
    assert len(titles) == len(set(titles))


@every_board
def test_its_datasource_is_the_provisioned_one_everywhere(board: Board) -> None:
    def uids(said: Any) -> set[str]:
        if isinstance(said, list):
            return set().union(*map(uids, said)) if said else set()
        if not isinstance(said, dict):
            return set()
        own = {said["datasource"]["uid"]} if "datasource" in said else set()
        return own.union(*map(uids, said.values()))

    assert uids(board.written()) == {"slipway"}
    assert (
        "uid: slipway\n"
        in (ROOT / "templates/etc/grafana/provisioning/datasources/slipway.yaml.j2").read_text()
    )


@every_board
def test_releases_are_marked_on_all_of_its_graphs(board: Board) -> None:
    (mark,) = board.written()["annotations"]["list"]

    assert mark["enable"]
    assert mark["useValueForTime"]
    assert "slipway_release_live_since_timestamp_seconds" in mark["expr"]


@every_board
def test_the_runbooks_address_is_in_one_variable_alone(board: Board) -> None:
    told = [one for one in board.written()["templating"]["list"] if one["name"] == "runbooks"]

    assert text(board).count(f'"{RUNBOOKS}"') == json.dumps(told).count(f'"{RUNBOOKS}"')


def test_no_two_dashboards_have_one_uid() -> None:
    assert len({board.written()["uid"] for board in BOARDS}) == len(BOARDS)


NAMES = sorted(
    {
        name
        for _, panel in PANELS
        for query in panel.queries
        for name in re.findall(r"slipway_[a-z_]+", query.expr)
    }
)


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_of_slipways_that_a_panel_asks_for_is_told(name: str) -> None:
    assert f"| `{name}` |" in TABLE


def test_every_expression_is_understood_by_prometheus(tmp_path: Path) -> None:
    window = Window(0, 600, 5, 60)
    asked = [query.expr for _, panel in PANELS for query in panel.queries] + [LIVE_SINCE]
    rules = [{"record": f"panel:{number}", "expr": window.filled(expr)} for number, expr in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [prometheus.programs() / "promtool", "check", "rules", tmp_path / "rules.yml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(dict(questions(window))) == len(asked)
