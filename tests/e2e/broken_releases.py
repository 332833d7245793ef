"""Bundles of releases that do not work: the service with one thing broken, built as any other from a clone."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from fabfile.bundle import archive
from tests.e2e.ansible_runs import ROOT
from tests.e2e.fab_runs import BUNDLES, MOMENTS

MAIN, HEALTH, MIDDLEWARE = "shop/main.py", "shop/operations/health.py", "shop/core/middleware.py"
APPLICATION = "    try:\n        settings = load_settings(Settings)\n"
REQUEST = "        start = time.perf_counter()\n        status = 0\n"
READY = '    if verdict.code != "ready":\n'
# Only customers ask for /api: a release learns by it that it has the traffic.
CUSTOMER = '        if scope["path"].startswith("/api"):\n'
# What nobody sends who only looks whether it serves.
ORDER = '        if scope["method"] == "POST":\n'

CHAIN = re.compile(r'^revision = "(\w+)"\ndown_revision = (?:"(\w+)"|None)$', re.MULTILINE)
REVISION = '''"""{kind} {revision}"""

from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None
kind = "{kind}"


def upgrade() -> None:
    op.execute("{statement}")


def downgrade() -> None:
    raise NotImplementedError
'''

# By what is broken: file, what it says, what it is made to say.
BROKEN: dict[str, tuple[str, str, str]] = {
    "does not import": (MAIN, "import sys\n", 'import sys\nraise ImportError("broken on purpose")\n'),
    "never binds": (MAIN, APPLICATION, f"    import time\n    time.sleep(3600)\n{APPLICATION}"),
    "binds and is never ready": (
        HEALTH,
        READY,
        "    from slipway_migrator import Verdict\n"
        f'    verdict = Verdict("schema_missing", "Broken on purpose.", None)\n{READY}',
    ),
    "dies after some seconds": (
        MIDDLEWARE,
        REQUEST,
        f"{REQUEST}{ORDER}"
        "            import asyncio, os, signal\n"
        "            asyncio.get_running_loop().call_later(2, os.kill, os.getppid(), signal.SIGKILL)\n",
    ),
    "fails a fifth of the requests after fifty": (
        MIDDLEWARE,
        REQUEST,
        f"{REQUEST}{CUSTOMER}"
        "            self.asked = getattr(self, 'asked', 0) + 1\n"
        "            if self.asked > 50 and self.asked % 5 == 0:\n"
        "                scope['path'] = scope['raw_path'] = None\n",
    ),
}


def build(about: str, scratch: Path) -> Path:
    """Build the release that is broken in this way; return its bundle."""
    name, says, instead = BROKEN[about]

    def change(service: Path) -> None:
        file = service / name
        text = file.read_text(encoding="utf-8")
        assert says in text, f"{name} does not say {says!r} any more: the way to break it is out of date"
        file.write_text(text.replace(says, instead, 1), encoding="utf-8")

    return _built(about, scratch, change)


def migrating(scratch: Path, revisions: Sequence[tuple[str, str, str]]) -> Path:
    """Build a release with further revisions, each an id, a kind and its statement; return its bundle."""

    def change(service: Path) -> None:
        chain = [*CHAIN.findall("\n".join(path.read_text() for path in _versions(service)))]
        (before,) = {revision for revision, _ in chain} - {down for _, down in chain}
        for number, (revision, kind, statement) in enumerate(revisions):
            path = service / f"migrations/versions/2030_01_01_000{number}_{kind}_{revision}.py"
            path.write_text(REVISION.format(revision=revision, before=before, kind=kind, statement=statement))
            before = revision

    return _built("further revisions", scratch, change)


def filling(scratch: Path, declared: str) -> Path:
    """Build a release that declares a backfill, given as the Python of its entry; return its bundle."""
    says = "DECLARED: dict[str, Backfill] = {}"

    def change(service: Path) -> None:
        file = service / "shop/backfills.py"
        text = file.read_text()
        assert says in text, f"{file.name} does not say {says!r} any more"
        file.write_text(text.replace(says, f"{says[:-2]}{{{declared}}}", 1))

    return _built("a backfill", scratch, change)


def of_another_schema(scratch: Path, revision: str) -> Path:
    """Build a release whose newest revision is one that the database never had; return its bundle."""

    def change(service: Path) -> None:
        newest = _versions(service)[-1]
        (known, _), text = CHAIN.findall(newest.read_text())[0], newest.read_text()
        newest.write_text(text.replace(f'revision = "{known}"', f'revision = "{revision}"', 1))

    return _built("another schema", scratch, change)


def _versions(service: Path) -> list[Path]:
    return sorted((service / "migrations/versions").glob("*.py"))


def _built(about: str, scratch: Path, change: Callable[[Path], None]) -> Path:
    clone = scratch / "clone"
    _git(ROOT, "clone", "--quiet", "--shared", str(ROOT), str(clone))
    change(clone / "service")
    author = ("-c", "user.name=Tests", "-c", "user.email=tests@shop.example")
    _git(clone, "add", "--all")
    _git(clone, *author, "commit", "--quiet", "--no-verify", f"--message={about}")
    built = archive.build(
        service=clone / "service",
        output=BUNDLES,
        built_at=MOMENTS.next(),
        cache=ROOT / "build/wheelhouse",
    )
    return built.path


def _git(folder: Path, *words: str) -> None:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
