"""What a panel is, and how Grafana 11 writes it down."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["timeseries", "stat", "table"]
# Provisioned under this name, so that no dashboard loses it.
DATASOURCE = {"type": "prometheus", "uid": "slipway"}
GOOD, WARNING, CRITICAL, PLAIN = "green", "orange", "red", "blue"
TRANSPARENT = "transparent"


@dataclass(frozen=True)
class Query:
    """PromQL, and how a line of it is called: {{label}} stands for a label's value."""

    expr: str
    legend: str = "__auto"


@dataclass(frozen=True)
class Panel:
    """unit: Grafana's name of one. page: of docs/runbooks. steps: from which value on it is warning and critical.

    words: what a value is shown as, with its colour. width: of 24; height: of 30 pixels. columns: of a table, label to
    heading, in this order; its value is the column Value.
    """

    title: str
    description: str
    unit: str
    page: str
    queries: Sequence[Query]
    kind: Kind = "timeseries"
    width: int = 12
    height: int = 8
    least: float | None = None
    most: float | None = None
    decimals: int | None = None
    steps: tuple[float | None, float | None] | None = None
    words: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    stacked: bool = False
    stepped: bool = False
    named: bool = False
    colors: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    widths: Mapping[str, int] = field(default_factory=dict)
    sorted_by: tuple[str, bool] | None = None

    def written(self, number: int, x: int, y: int) -> Json:
        """The panel's JSON at a place of the grid."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [
                self._target(letter, query)
                for letter, query in zip(string.ascii_uppercase, self.queries, strict=False)
            ],
            "fieldConfig": {"defaults": self._defaults(), "overrides": self._overrides()},
            "options": self._options(),
            "transformations": self._transformations(),
            "links": [self._page()],
        }  # fmt: skip

    def _page(self) -> Json:
        return {
            "title": f"Runbook: {self.page}",
            "type": "link",
            "icon": "doc",
            "url": f"${{runbooks}}/{self.page}",
            "tooltip": "",
            "tags": [],
            "asDropdown": False,
            "includeVars": False,
            "keepTime": False,
            "targetBlank": True,
        }

    def _target(self, letter: str, query: Query) -> Json:
        table = self.kind == "table"
        return {
            "refId": letter,
            "datasource": DATASOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            "instant": table,
            "range": not table,
            "format": "table" if table else "time_series",
        }

    def _defaults(self) -> Json:
        bounds = {"min": self.least, "max": self.most, "decimals": self.decimals}
        return {
            "unit": self.unit,
            **{name: value for name, value in bounds.items() if value is not None},
            "color": {"mode": "palette-classic" if self.kind == "timeseries" else "thresholds"},
            "thresholds": {"mode": "absolute", "steps": self._steps()},
            "mappings": _mappings(self.words),
            "custom": self._custom(),
        }

    def _steps(self) -> list[Json]:
        """Rising or falling: the first colour is that of whatever is below the first bound."""
        warn, critical = self.steps or (None, None)
        if warn is None and critical is None:
            return [{"color": TRANSPARENT if self.kind == "table" else PLAIN, "value": None}]
        if warn is not None and critical is not None and critical < warn:
            return [
                {"color": CRITICAL, "value": None},
                {"color": WARNING, "value": critical},
                {"color": GOOD, "value": warn},
            ]
        bounds = [(WARNING, warn), (CRITICAL, critical)]
        rising = [{"color": color, "value": bound} for color, bound in bounds if bound is not None]
        return [{"color": GOOD, "value": None}, *rising]

    def _custom(self) -> Json:
        if self.kind == "table":
            return {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}
        if self.kind == "stat":
            return {}
        return {
            "drawStyle": "line",
            "lineInterpolation": "stepAfter" if self.stepped else "linear",
            "lineWidth": 1,
            "fillOpacity": 30 if self.stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
            "axisPlacement": "auto",
            "scaleDistribution": {"type": "linear"},
            # Of a count that is none, an axis up to a hundred would say nothing.
            **({"axisSoftMax": 1} if self.decimals == 0 else {}),
        }

    def _overrides(self) -> list[Json]:
        found: dict[str, list[Json]] = {}
        for name, color in self.colors.items():
            said = {"id": "color", "value": {"mode": "fixed", "fixedColor": color}}
            found.setdefault(name, []).append(said)
        for name, unit in self.units.items():
            found.setdefault(name, []).append({"id": "unit", "value": unit})
        for name, width in self.widths.items():
            found.setdefault(name, []).append({"id": "custom.width", "value": width})
        if self.kind == "table" and (self.words or self.steps):
            cell = {"id": "custom.cellOptions", "value": {"type": "color-text"}}
            found.setdefault(self.columns.get("Value", "Value"), []).append(cell)
        return [
            {"matcher": {"id": "byName", "options": name}, "properties": properties}
            for name, properties in found.items()
        ]

    def _options(self) -> Json:
        if self.kind == "table":
            by = [{"displayName": self.sorted_by[0], "desc": self.sorted_by[1]}] if self.sorted_by else []
            return {"showHeader": True, "cellHeight": "sm", "sortBy": by}
        if self.kind == "stat":
            return {
                "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
                "orientation": "auto",
                "textMode": "name" if self.named else "auto",
                "colorMode": "value",
                "graphMode": "none" if self.named or self.words else "area",
                "justifyMode": "auto",
                "wideLayout": True,
                "showPercentChange": False,
                "percentChangeColorMode": "standard",
            }
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }

    def _transformations(self) -> list[Json]:
        if self.kind != "table":
            return []
        shown = list(self.columns)
        options = {
            "includeByName": dict.fromkeys(shown, True),
            "excludeByName": {},
            "indexByName": {name: place for place, name in enumerate(shown)},
            "renameByName": dict(self.columns),
        }
        return [{"id": "merge", "options": {}}, {"id": "organize", "options": options}]


def _mappings(words: Mapping[int, tuple[str, str]]) -> list[Json]:
    if not words:
        return []
    shown = {
        str(value): {"text": text, "color": color, "index": place}
        for place, (value, (text, color)) in enumerate(words.items())
    }
    return [{"type": "value", "options": shown}]
