"""Each alert fires for its fault, says what a person has to read, and is silent otherwise; promtool judges."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import prometheus
from tests.unit.monitoring import page
from tests.unit.plugins.ansible_run import load_plugin

ROOT = Path(__file__).parents[3]
TABLE: list[dict[str, Any]] = yaml.safe_load((ROOT / "roles/prometheus/files/alerts.yml").read_text())
CASES: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("cases.yml").read_text())
VALUES = {"environment": "lab", "errors": 0.001, "slow": "0.5", "late": 0.01, "floor": 1}
RULES = load_plugin("filter/alert_rules")
# Words of Prometheus after 2.31, Ubuntu 22.04's.
NEWER = re.compile(r"keep_firing_for|limitk|limit_ratio|histogram_(?:avg|count|sum)|\binfo\(")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks promtool into the cache")
every_alert = pytest.mark.parametrize("row", TABLE, ids=[row["alert"] for row in TABLE])


@pytest.fixture(scope="module")
def promtool() -> Path:
    return prometheus.programs() / "promtool"


def judged(
    promtool: Path,
    folder: Path,
    row: dict[str, Any],
    series: list[str],
    at: int,
    expected: list[dict[str, Any]],
) -> str:
    """What promtool has against it; empty when it is as expected."""
    (folder / "rules.yml").write_text(yaml.safe_dump(RULES.alert_rules([row], VALUES)))
    pairs = [one.rsplit("} ", 1) for one in series]
    given = [{"series": f"{labelled}}}", "values": values} for labelled, values in pairs]
    asked = [{"eval_time": f"{at}m", "alertname": row["alert"], "exp_alerts": expected}]
    test = {"interval": "1m", "input_series": given, "alert_rule_test": asked}
    case = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yml").write_text(yaml.safe_dump(case, width=10_000))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def labels(series: list[str], row: dict[str, Any]) -> list[dict[str, str]]:
    """The first series' labels as the alert has them, and what an aggregation leaves of them."""
    found = dict(re.findall(r'([a-z_]+)="([^"]*)"', series[0])) if series else {}
    kept = ("app",) if re.match(r"(?:1 - )?(?:sum|count) by \(app\)", row["expr"]) else tuple(found)
    return [{**{name: found[name] for name in kept if name in found}, "severity": row["severity"]}]


@every_alert
def test_an_alert_fires_for_its_fault_with_its_sentence_command_and_page(
    promtool: Path, tmp_path: Path, row: dict[str, Any]
) -> None:
    case = CASES[row["alert"]]
    said = {
        "sentence": case["told"],
        "command": case.get("command", row["command"] % VALUES),
        "runbook": case.get("runbook", row["runbook"]),
    }
    severity = {"severity": row["severity"]}
    told = [{**case["labels"], **severity}] if "labels" in case else labels(case["fires"], row)
    expected = [{"exp_labels": each, "exp_annotations": said} for each in told]

    assert judged(promtool, tmp_path, row, case["fires"], case["at"], expected) == ""


@pytest.mark.parametrize(
    "row", [row for row in TABLE if CASES[row["alert"]]["silent"]], ids=lambda row: row["alert"]
)
def test_an_alert_is_silent_where_there_is_no_fault(
    promtool: Path, tmp_path: Path, row: dict[str, Any]
) -> None:
    case = CASES[row["alert"]]
    # A step that somebody holds the lease of is told by another host of the service, too.
    silent = [series.replace("app-2", "app-1") for series in case["silent"]]

    assert judged(promtool, tmp_path, row, silent, case["at"], []) == ""


def test_every_alert_has_its_case_and_every_case_its_alert() -> None:
    assert [row["alert"] for row in TABLE] == list(CASES)


@every_alert
def test_an_alerts_page_is_there_and_names_it(row: dict[str, Any]) -> None:
    name = row["runbook"] if "{{" not in row["runbook"] else "alerts-database.md"
    page = ROOT / "docs/runbooks" / name

    assert page.is_file()
    assert not name.startswith("alerts-") or f"## {row['alert']}\n" in page.read_text()


@every_alert
def test_an_alert_uses_no_word_that_ubuntus_prometheus_lacks(row: dict[str, Any]) -> None:
    assert not NEWER.search(row["expr"])


@every_alert
def test_no_number_is_in_an_alerts_labels(row: dict[str, Any]) -> None:
    rule = RULES.alert_rules([row], VALUES)["groups"][0]["rules"][0]

    assert rule["labels"] == {"severity": row["severity"]}


def test_a_row_with_a_misspelt_key_is_refused() -> None:
    with pytest.raises(ValueError, match="an alert has"):
        RULES.alert_rules([{**TABLE[0], "expresion": "up"}], VALUES)


NAMES = sorted({word for row in TABLE for word in re.findall(r"slipway_[a-z_]+", row["expr"])})


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_of_slipways_that_an_alert_asks_for_is_told(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs/monitoring.md").read_text()


def test_the_page_has_the_table_as_it_is() -> None:
    assert page.table(TABLE) in (ROOT / "docs/monitoring.md").read_text()


def test_docs_say_by_which_fault_each_was_made_to_fire() -> None:
    text = (ROOT / "docs/alerts.md").read_text()
    assert [row["alert"] for row in TABLE if f"| `{row['alert']}` |" not in text] == []
