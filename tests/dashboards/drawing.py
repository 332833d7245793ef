"""Check the dashboards' types by Grafana's schema, and draw each:  python -m tests.dashboards.drawing"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from dashboards.__main__ import BOARDS
from dashboards.board import Board
from tests.dashboards import recording
from tests.database import browser
from tests.e2e.ansible_runs import ROOT

HERE = Path(__file__).parent / "page"
BUILD = ROOT / "build/dashboards"
PICTURES = ROOT / "docs/images"
WIDTH, TITLE, ROW, MOST_BYTES = 1440, 52, 38, 250_000
# What a string of the JSON may be is an enum of the schema, by its value.
TYPES = """
import type { Dashboard } from '@grafana/schema';
type Written<T> = T extends string ? `${T}` : T extends (infer U)[] ? Written<U>[] :
  T extends object ? { [K in keyof T]: Written<T[K]> } : T;
// The schema has what all annotations have; these are Prometheus's.
type Texts = Record<'expr' | 'step' | 'titleFormat' | 'textFormat' | 'tagKeys', string>;
type Marked = Texts & { useValueForTime: boolean };
type Annotations = NonNullable<Dashboard['annotations']>;
type Whole = Omit<Written<Dashboard>, 'annotations'> &
  { annotations: { list: Array<Written<NonNullable<Annotations['list']>[number]> & Marked> } };
"""
# Written for another way to be imported: its default is the component.
SCROLLBARS = (
    """module.exports = require('./node_modules/react-custom-scrollbars-2/lib/index.js').Scrollbars;"""
)
LOADERS = [f"--loader:.{kind}=dataurl" for kind in ("ttf", "woff", "woff2", "svg", "png")]


def run(*words: str) -> None:
    """Run a tool in BUILD; raises SystemExit with what it said."""
    done = subprocess.run(words, cwd=BUILD, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}:\n{done.stdout}{done.stderr}")


def packages() -> None:
    """Grafana's packages as the lock has them: some 600 MB, once."""
    BUILD.mkdir(parents=True, exist_ok=True)
    lock, had = HERE / "package-lock.json", BUILD / "package-lock.json"
    if (
        had.exists()
        and had.read_bytes() == lock.read_bytes()
        and (BUILD / "node_modules/.package-lock.json").exists()
    ):
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, BUILD / name)
    run("npm", "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund")


def check_types() -> None:
    """Raises SystemExit where a dashboard is none by @grafana/schema."""
    boards = [f"export const {board.name}: Whole = {json.dumps(board.written())};\n" for board in BOARDS]
    (BUILD / "typed.ts").write_text(TYPES + "".join(boards))
    run("node_modules/.bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler",
        "--module", "esnext", "--target", "es2022", "typed.ts")  # fmt: skip


def bundle() -> None:
    """The page's program."""
    shutil.copy(HERE / "draw.tsx", BUILD / "draw.tsx")
    (BUILD / "scrollbars.js").write_text(SCROLLBARS)
    run("node_modules/.bin/esbuild", "draw.tsx", "--bundle", "--minify", "--outfile=out.js", "--log-level=error",
        "--alias:react-custom-scrollbars-2=./scrollbars.js", '--define:process.env.NODE_ENV="production"',
        *LOADERS)  # fmt: skip


def draw(board: Board, kept: dict[str, Any]) -> Path:
    """The picture of a dashboard."""
    written = board.written()
    page, picture = BUILD / f"{board.name}.html", PICTURES / f"dashboard-{board.name}.png"
    given = json.dumps({**kept, "board": written}).replace("</", "<\\/")
    page.write_text(
        '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="out.css"><body style="margin:0">'
        f'<div id="root"></div><script>window.GIVEN = {given}</script><script src="out.js"></script>'
    )
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in written["panels"])
    browser.picture(page, picture, WIDTH, TITLE + rows * ROW + 12)
    return picture


def main() -> int:
    """0, or a sentence and 2."""
    missing = [name for name in ("node", "npm") if not shutil.which(name)]
    missing += [] if browser.program() else ["Chromium"]
    if missing:
        print(
            f"{' and '.join(missing)} not found; on Debian: apt-get install nodejs npm chromium. Nothing was drawn."
        )
        return 2
    if not recording.KEPT.exists():
        print("Nobody has asked a Prometheus yet: pytest tests/e2e/test_dashboards.py. Nothing was drawn.")
        return 2
    packages()
    check_types()
    bundle()
    kept = json.loads(recording.KEPT.read_text())
    for board in BOARDS:
        picture = draw(board, kept)
        size = picture.stat().st_size
        print(f"{picture.relative_to(ROOT)} {size // 1000} kB")
        if size > MOST_BYTES:
            print(f"{picture.name} has more than {MOST_BYTES // 1000} kB.")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
