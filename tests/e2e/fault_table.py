"""What came of each fault, kept by the tests; as docs/alerts.md has it:  python -m tests.e2e.fault_table"""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.e2e.ansible_runs import ROOT

KEPT = ROOT / "build/e2e/alerts.json"
HEAD = [
    "| alert | the fault | told after | over, after | what somebody read |",
    "| --- | --- | --- | --- | --- |",
]


def keep(alert: str, fault: str, fired: float, ended: float, sentence: str) -> None:
    """fired: seconds from the fault to whoever is told; ended: from when it was put right, which may take longer."""
    rows: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    rows[alert] = {"fault": fault, "fired": round(fired), "ended": round(ended), "sentence": sentence}
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(json.dumps(rows, indent=2))


def lines() -> list[str]:
    """The table, in the order of the rules."""
    rows: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    table = yaml.safe_load((ROOT / "roles/prometheus/files/alerts.yml").read_text())
    return [*HEAD, *(_line(row["alert"], rows[row["alert"]]) for row in table if row["alert"] in rows)]


def _line(alert: str, row: dict[str, Any]) -> str:
    over = f"{row['ended']} s" if row["ended"] >= 0 else "while it was put right"
    return f"| `{alert}` | {row['fault']} | {row['fired']} s | {over} | {row['sentence']} |"


if __name__ == "__main__":
    print("\n".join(lines()))
