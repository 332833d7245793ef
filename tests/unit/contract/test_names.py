"""A service's name is the inventory's: nothing that is Slipway's own says what the bundled one is called."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.unit.contract.repository import ROOT

SLIPWAYS = ("roles", "templates", "plugins", "playbooks", "fabfile")
# Where else the word may stand, and why.
ALLOWED = {
    r"^service/|^examples/|^tests/": "the bundled service, others, and what they are tried with",
    r"^inventory/": "an inventory says whose it is",
    r"\.md$": "a sample of a real run shows whatever was run, and that is the bundled service",
    r"^containers/compose\.yaml$": "make dev in containers, which is about the bundled service alone",
}
WORD = re.compile(r"\bshop\b(?!\.example)")
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


def test_the_word_is_where_there_is_a_reason_for_it_and_nowhere_else() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    found = {
        name: [
            line
            for line in (ROOT / name).read_bytes().decode("utf-8", "replace").splitlines()
            if WORD.search(line)
        ]
        for name in listed
        if name and (ROOT / name).is_file()
    }

    saying = [name for name, lines in found.items() if lines]
    assert [name for name in saying if not any(re.search(place, name) for place in ALLOWED)] == []
    # A place of which nothing is left has no reason any more.
    assert [place for place in ALLOWED if not any(re.search(place, name) for name in saying)] == []
