"""The table of alerts as docs/monitoring.md has it:  python -m tests.unit.monitoring.page"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
FOUND = "what `fab db-status` says"
ASKED = re.compile(r"\{\{ with .*?\{\{ end \}\}", re.DOTALL)
LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")
VALUE = re.compile(r"\{\{ \$value.*? \}\}")


def table(alerts: list[dict[str, Any]]) -> str:
    rows = [
        "| alert | severity | stands for | what somebody reads | types | page |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*rows, *map(_row, alerts)]) + "\n"


def _row(row: dict[str, Any]) -> str:
    page = "its own" if "{{" in row["runbook"] else f"[{row['runbook']}](runbooks/{row['runbook']})"
    typed = (
        "what the check says" if "{{" in row["command"] else f"`{row['command'] % {'environment': 'ENV'}}`"
    )
    cells = [
        f"`{row['alert']}`",
        row["severity"],
        row.get("for", "at once"),
        _shown(row["sentence"]),
        typed,
        page,
    ]
    return f"| {' | '.join(cells)} |"


def _shown(sentence: str) -> str:
    plain = VALUE.sub("N", LABEL.sub(lambda found: found[1].upper(), ASKED.sub(FOUND, sentence)))
    return " ".join(plain.split()).replace("%(slow)s", "0.5")


if __name__ == "__main__":
    print(table(yaml.safe_load((ROOT / "roles/prometheus/files/alerts.yml").read_text())), end="")
