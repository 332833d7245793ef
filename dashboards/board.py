"""What a dashboard is: panels in rows from left to right, what is chosen on top, and where releases became live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.panels import DATASOURCE, Panel

COLUMNS = 24
# Which page a panel's link opens; the role grafana puts the address of an inventory's docs/runbooks there.
RUNBOOKS = "docs/runbooks"
# The moment is the value: a release is marked when it became live, not when somebody next asked. A Prometheus that was
# away while it changed has the one before for five minutes more, so there may be two for a moment.
LIVE_SINCE = (
    'slipway_release_info{app=~"$app"}'
    " * on (app, host) group_left () (1000 * slipway_release_live_since_timestamp_seconds)"
)


@dataclass(frozen=True)
class Choice:
    """A variable of a dashboard: the values that a label of a metric has."""

    name: str
    label: str
    metric: str


APP = Choice("app", "Service", "slipway_releases")
HOST = Choice("host", "Host", 'up{job="node"}')


@dataclass(frozen=True)
class Board:
    """One dashboard; its file and its uid have its name."""

    name: str
    title: str
    description: str
    panels: Sequence[Panel]
    choices: Sequence[Choice] = (APP,)

    def written(self) -> dict[str, Any]:
        """The dashboard's JSON."""
        return {
            "uid": f"slipway-{self.name}",
            "title": f"Slipway: {self.title}",
            "description": self.description,
            "tags": ["slipway"],
            "schemaVersion": 39,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "timezone": "utc",
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "annotations": {"list": [_releases()]},
            "templating": {"list": [*map(_choice, self.choices), _runbooks()]},
            "links": [_others()],
            "panels": placed(self.panels),
        }


def placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """The panels' JSON, a row after the other."""
    found, x, y, tallest = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        found.append(panel.written(number, x, y))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return found


def _releases() -> dict[str, Any]:
    return {
        "name": "Releases",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "purple",
        "expr": LIVE_SINCE,
        "useValueForTime": True,
        "step": "60s",
        "titleFormat": "{{release}}",
        "textFormat": "{{app}} on {{host}} serves it since then",
        "tagKeys": "app,host",
    }


def _choice(choice: Choice) -> dict[str, Any]:
    asked = f"label_values({choice.metric}, {choice.name})"
    return {
        "name": choice.name,
        "label": choice.label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": asked, "refId": choice.name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _runbooks() -> dict[str, Any]:
    return {
        "name": "runbooks",
        "type": "constant",
        "hide": 2,
        "query": RUNBOOKS,
        "current": {"text": RUNBOOKS, "value": RUNBOOKS},
    }


def _others() -> dict[str, Any]:
    return {
        "title": "Slipway",
        "type": "dashboards",
        "icon": "external link",
        "tags": ["slipway"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }
