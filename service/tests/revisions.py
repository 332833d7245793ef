"""Further revisions after this release's own, as a later release has them, and the commands on them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import SERVICE
from shop.core import schema
from shop.core.schema import Revisions

# The command as an operator types it, in a release with a folder of migrations of its own.
COMMAND = """
import sys
from pathlib import Path
from shop.core import schema
schema.migrations_directory = lambda: Path(sys.argv[1])
from shop import cli
raise SystemExit(cli.main(sys.argv[2:]))
"""
REVISION = '''"""{number}"""

import sqlalchemy as sa
from alembic import op

from shop.core.indexes import create_index_concurrently, drop_index_concurrently

revision = "{revision}"
down_revision = "{down_revision}"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
{upgrade}


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
{downgrade}
'''


def later_release(directory: Path, *steps: tuple[str, str]) -> Path:
    """A folder of migrations with this release's revisions and one more for each (upgrade, downgrade)."""
    folder = directory / "migrations"
    shutil.copytree(SERVICE / "migrations", folder, ignore=shutil.ignore_patterns("__pycache__"))
    down_revision = Revisions().head
    for number, (upgrade, downgrade) in enumerate(steps, start=1):
        revision = f"later{number}"
        (folder / "versions" / f"2026_12_01_{number:04d}_later_{number}.py").write_text(
            REVISION.format(
                number=number,
                revision=revision,
                down_revision=down_revision,
                upgrade=_indented(upgrade),
                downgrade=_indented(downgrade),
            )
        )
        down_revision = revision
    return folder


def _indented(lines: str) -> str:
    return "\n".join(f"    {line}" for line in (lines or "pass").splitlines())


@contextmanager
def carried(folder: Path) -> Iterator[None]:
    """This process is of the release with that folder of migrations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "migrations_directory", lambda: folder)
        yield


def start_shop(folder: Path, environ: dict[str, str], *words: str) -> "subprocess.Popen[str]":
    """Start `shop WORDS` of the release with that folder of migrations."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(folder), *words],
        env=environ,
        cwd="/",
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run_shop_of(folder: Path, environ: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `shop WORDS` of the release with that folder of migrations, to its end."""
    process = start_shop(folder, environ, *words)
    try:
        printed, said = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    return subprocess.CompletedProcess(process.args, process.returncode, printed, said)
