"""A repository with a service and a package index of its own, for the tests of the bundle builder."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fabfile.bundle import archive
from fabfile.bundle.wheels import Target
from tests.unit.slipway import support

MOMENT = datetime(2026, 11, 22, 16, 5, 1, tzinfo=UTC)
COMMITTED = "2026-11-20T12:00:00+00:00"
TARGETS = [Target("3.10", "x86_64"), Target("3.11", "x86_64")]
# A build backend in the tree, so that nothing has to be fetched to build the wheel.
PYPROJECT = (
    '[project]\nname = "shop"\nversion = "1.0"\n'
    '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
)
BACKEND = """\
import os, time, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    moment = time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))[:6]
    info = "shop-1.0.dist-info"
    content = {
        "shop/__init__.py": open("shop/__init__.py").read(),
        info + "/METADATA": "Metadata-Version: 2.1\\nName: shop\\nVersion: 1.0\\n",
        info + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    content[info + "/RECORD"] = "".join(path + ",,\\n" for path in [*content, info + "/RECORD"])
    name = "shop-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path, moment), text)
    return name
"""
MIGRATION = 'revision: str = "{revision}"\ndown_revision = {parent!r}\n'


class Project:
    """A repository with a service, and a package index that has its one dependency."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service = folder / "repository/service"
        self.index = folder / "index"
        self.cache = folder / "build/wheelhouse"
        name, wheel = support.tiny_wheel("tiny")
        self.wheel = name
        self.publish("tiny", name, wheel)
        self.write("pyproject.toml", PYPROJECT)
        self.write("backend.py", BACKEND)
        self.write("shop/__init__.py", "")
        self.write("requirements.lock", f"tiny==1.0 --hash=sha256:{hashlib.sha256(wheel).hexdigest()}\n")
        self.write("migrations/versions/a.py", MIGRATION.format(revision="0001", parent=None))
        self.write("migrations/versions/b.py", MIGRATION.format(revision="0002", parent="0001"))
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit()

    def publish(self, project: str, name: str, data: bytes) -> None:
        (self.index / project).mkdir(parents=True, exist_ok=True)
        (self.index / project / name).write_bytes(data)
        (self.index / project / "index.html").write_text(f'<a href="{name}">{name}</a>')

    def write(self, name: str, text: str) -> None:
        path = self.service / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def git(self, *words: str) -> str:
        environment = {
            **os.environ,
            **{
                f"GIT_{who}_{what}": "ada@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
            "GIT_AUTHOR_DATE": COMMITTED,
            "GIT_COMMITTER_DATE": COMMITTED,
        }
        repository = self.service.parent
        return subprocess.run(
            ["git", "-C", str(repository), *words],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        ).stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "service")
        return self.git("rev-parse", "HEAD")

    def build(self, output: str = "bundles", **options: Any) -> archive.Bundle:
        settings = {"targets": TARGETS, "built_at": MOMENT, "cache": self.cache, **options}
        return archive.build(self.service, self.folder / output, **settings)


def manifest(built: archive.Bundle) -> dict[str, Any]:
    with tarfile.open(built.path) as archive:
        content = archive.extractfile("manifest.json")
        assert content is not None
        return dict(json.load(content))
