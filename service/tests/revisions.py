"""Further revisions after this release's own, as a later release has them, and the commands on them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import SERVICE
from shop.core.health import revisions

REVISION = '''"""{number}"""

import sqlalchemy as sa
from alembic import op

from slipway_migrator import create_index_concurrently

revision = "{revision}"
down_revision = "{down_revision}"
branch_labels = None
depends_on = None
kind = "{kind}"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    {upgrade}


def downgrade() -> None:
    pass
'''


def later_release(directory: Path, *upgrades: str, kind: str = "expand") -> Path:
    """The folder of a release with this one's revisions and one more for each line of upgrades."""
    shutil.copytree(
        SERVICE / "migrations", directory / "migrations", ignore=shutil.ignore_patterns("__pycache__")
    )
    (directory / "manifest.json").write_text(
        json.dumps({"app": "shop", "service": {"migrations": "migrations"}})
    )
    before = revisions().head
    for number, upgrade in enumerate(upgrades, start=1):
        text = REVISION.format(
            number=number, revision=f"later{number}", down_revision=before, upgrade=upgrade, kind=kind
        )
        (directory / f"migrations/versions/2026_12_01_{number:04d}_later_{number}.py").write_text(text)
        before = f"later{number}"
    return directory


def start_shop(folder: Path, environ: dict[str, str], *words: str) -> "subprocess.Popen[str]":
    """Start `shop WORDS` of the release in that folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "shop.cli", *words],
        env=environ,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
