"""The order of a service's revisions, which its workers ask for at their start: without Alembic where it can be."""

import subprocess
import sys
from pathlib import Path

import pytest

from slipway_migrator import MigrationError, Revision, Revisions, order_below
from slipway_migrator.order import in_text

PLAIN = 'revision = "{}"\ndown_revision = {!r}\nkind = "{}"\n'
ASKING = """
import sys
from pathlib import Path
from slipway_migrator import judge, order_below
print(order_below(Path(sys.argv[1])).head, "alembic" in sys.modules)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").touch()
    write(tmp_path, "b", PLAIN.format("r1", None, "expand"))
    write(tmp_path, "a", PLAIN.format("r2", "r1", "contract"))
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"versions/{name}.py").write_text(text)


def test_plain_revisions_are_known_without_alembic_and_as_it_knows_them(folder: Path) -> None:
    write(
        folder,
        "c",
        "from typing import Union\nrevision: str = 'r3'\ndown_revision: Union[str, None] = 'r2'\n",
    )

    said = subprocess.run([sys.executable, "-c", ASKING, folder], capture_output=True, text=True, check=True)

    assert said.stdout == "r3 False\n"
    assert order_below(folder) == Revisions.below(folder).order
    assert order_below(folder).in_order[-1] == Revision("r3", "r2", "contract", declared=False)


# What the text of a file does not say by itself; each is added to r1 and r2.
OPEN = {
    "a merge": [PLAIN.format("r3", "r1", "expand"), "revision = 'r4'\ndown_revision = ('r2', 'r3')\n"],
    "a name from somewhere": ["NAME = 'r3'\nrevision = NAME\ndown_revision = 'r2'\n"],
    "a kind that depends": [PLAIN.format("r3", "r2", "expand") + "if True:\n    kind = 'contract'\n"],
    "a label": [PLAIN.format("r3", "r2", "expand") + "branch_labels = ('x',)\n"],
    "what it depends on": [PLAIN.format("r3", "r2", "expand") + "depends_on = 'r1'\n"],
}


@pytest.mark.parametrize("name", OPEN)
def test_what_text_leaves_open_is_alembics_to_say(folder: Path, name: str) -> None:
    for number, text in enumerate(OPEN[name]):
        write(folder, f"more{number}", text)

    assert in_text(folder) is None
    assert order_below(folder) == Revisions.below(folder).order


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLAIN.format("r3", "r1", "expand"), "2 heads"),
        (PLAIN.format("r3", "r2", "grow"), "declares the kind 'grow'"),
    ],
)
def test_what_alembic_refuses_is_refused(folder: Path, text: str, said: str) -> None:
    write(folder, "c", text)

    with pytest.raises(MigrationError, match=said):
        order_below(folder)
