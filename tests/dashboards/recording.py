"""What a Prometheus answers to every panel, kept in a file that pictures are drawn from and units are read in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from dashboards.__main__ import BOARDS
from dashboards.board import LIVE_SINCE
from tests.e2e.ansible_runs import ROOT

KEPT = ROOT / "build/e2e/dashboards.json"
# (board, number of the panel, letter of the query); the releases that all graphs are marked with are no panel's.
Name = tuple[str, int, str]
RELEASES: Name = ("", 0, "releases")


@dataclass(frozen=True)
class Window:
    """Seconds since 1970, the step between two points, and what $__rate_interval is then."""

    start: float
    end: float
    step: int
    rate: int

    def filled(self, expr: str) -> str:
        """The expression, for every service and host."""
        for name, value in (("$__rate_interval", f"{self.rate}s"), ("$app", ".*"), ("$host", ".*")):
            expr = expr.replace(name, value)
        return expr


def questions(window: Window) -> Iterator[tuple[Name, str]]:
    """Each query's path and parameters, as Grafana asks them."""
    for board in BOARDS:
        for panel in board.written()["panels"]:
            for target in panel["targets"]:
                name = (board.name, panel["id"], target["refId"])
                yield name, _asked(target["expr"], target["range"], window)
    yield RELEASES, _asked(LIVE_SINCE, True, window)


def _asked(expr: str, over_time: bool, window: Window) -> str:
    given: dict[str, Any] = {"query": window.filled(expr)}
    if not over_time:
        return "/api/v1/query?" + urlencode({**given, "time": window.end})
    given |= {"start": window.start, "end": window.end, "step": window.step}
    return "/api/v1/query_range?" + urlencode(given)


def record(ask: Callable[[list[str]], Mapping[str, str]], window: Window) -> dict[Name, list[Any]]:
    """{name: the series}; ask: {path: the answer's text} of them all. It is kept in KEPT, too."""
    asked = dict(questions(window))
    said = ask(list(asked.values()))
    answers: dict[Name, list[Any]] = {}
    for name, path in asked.items():
        answer = json.loads(said[path])
        assert answer["status"] == "success", f"{name}: {path}\n{answer}"
        answers[name] = answer["data"]["result"]
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    kept = {"from": window.start, "to": window.end, "step": window.step}
    KEPT.write_text(
        json.dumps({**kept, "answers": {"/".join(map(str, name)): rows for name, rows in answers.items()}})
    )
    return answers
