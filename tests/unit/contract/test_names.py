"""A service's name is the inventory's: nothing that is Slipway's own says what the bundled one is called."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.unit.contract.repository import ROOT

SLIPWAYS = ("roles", "templates", "plugins", "playbooks", "fabfile")
BUNDLED = re.compile(r"(?<![A-Za-z])shop(?![A-Za-z]|\.example)|SHOP_")


@pytest.mark.parametrize("folder", SLIPWAYS)
def test_nothing_of_slipways_own_says_the_name_of_the_bundled_service(folder: str) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    names = [name for name in listed if name and (ROOT / name).is_file()]
    said = [name for name in names if BUNDLED.search(name)]
    for name in names:
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        said += [f"{name}:{number}: {line}" for number, line in enumerate(lines, 1) if BUNDLED.search(line)]

    assert not said, "\n".join(said)
