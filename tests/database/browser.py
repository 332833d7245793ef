"""A real headless Chromium: what a page is when it is rendered, and its picture.

python -m tests.database.browser PAGE PICTURE.png
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The machine may be slow, and the browser's own start takes seconds on it.
PATIENCE = 240


def program() -> str:
    """The path of a Chromium, "" when this machine has none."""
    return next((found for name in NAMES if (found := shutil.which(name))), "")


def run(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open the page in a profile of its own, without a network."""
    with tempfile.TemporaryDirectory(prefix="slipway-browser-") as profile:
        return subprocess.run(
            [
                program(),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                "--enable-logging=stderr",
                f"--user-data-dir={profile}",
                *options,
                page.resolve().as_uri(),
            ],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )


def picture(page: Path, target: Path, width: int = 1000, height: int = 1400) -> None:
    """Write what the page looks like as a PNG."""
    # Without these it may draw before every part is painted.
    whole = ("--run-all-compositor-stages-before-draw", "--virtual-time-budget=5000")
    done = run(page, *whole, f"--window-size={width},{height}", f"--screenshot={target.resolve()}")
    if done.returncode or not target.is_file():
        raise SystemExit(f"{page} could not be drawn by {program()}:\n{done.stderr}")


def main(words: list[str]) -> int:
    """0, or a sentence and 2."""
    if len(words) != 2:
        print("Usage: python -m tests.database.browser PAGE PICTURE.png", file=sys.stderr)
        return 2
    if not program():
        print(
            "No Chromium was found; on Debian: apt-get install chromium. Nothing was drawn.", file=sys.stderr
        )
        return 2
    picture(Path(words[0]), Path(words[1]))
    print(f"{words[1]} shows {words[0]}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
