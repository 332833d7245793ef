"""Write the dashboards:  python -m dashboards"""

from __future__ import annotations

import json
from pathlib import Path

from dashboards import database, hosts, rollouts, service
from dashboards.board import Board

BOARDS = (service.BOARD, database.BOARD, hosts.BOARD, rollouts.BOARD)
FOLDER = Path(__file__).parents[1] / "roles/grafana/files/dashboards"


def text(board: Board) -> str:
    """A dashboard's file."""
    return json.dumps(board.written(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """One file a dashboard."""
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(text(board), encoding="utf-8")


if __name__ == "__main__":
    main()
