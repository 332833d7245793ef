"""A plain project in a repository of its own: one ASGI application, a console program, no dependency but uvicorn."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from packaging.utils import canonicalize_name

from fabfile.bundle import archive, locks

BACKEND = """\
import os, pathlib, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    info = "notes-1.0.dist-info"
    content = {str(path): path.read_text() for path in sorted(pathlib.Path("notes").rglob("*.py"))}
    content |= {
        info + "/METADATA": "Metadata-Version: 2.1\\nName: notes\\nVersion: 1.0\\n",
        info + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        info + "/entry_points.txt": "[console_scripts]\\nnotes = notes.cli:main\\n",
    }
    content[info + "/RECORD"] = "".join(path + ",,\\n" for path in [*content, info + "/RECORD"])
    name = "notes-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)
    return name
"""
APPLICATION = """\
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    status = 200 if scope["path"] == "/healthz" else 404
    await send({"type": "http.response.start", "status": status, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})


HEADERS = [(b"content-length", b"2")]
"""
CLI = """\
import sys


def main():
    sys.exit(sys.argv[2] if len(sys.argv) > 2 else 0)
"""
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "notes"
version = "1.0"

[tool.slipway]
{said}
"""
SAID = 'application = "notes:app"\nhealth = "/healthz"\ncheck = "notes check"'
NEEDED = {"uvicorn", "click", "h11", "typing-extensions"}
MIGRATION = 'revision = "{revision}"\ndown_revision = {parent!r}\n'


class Service:
    """Made in folder, committed."""

    def __init__(self, folder: Path, said: str = SAID) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.write("pyproject.toml", PYPROJECT.format(said=said))
        self.write("backend.py", BACKEND)
        self.write("notes/__init__.py", APPLICATION)
        self.write("notes/cli.py", CLI)
        self.write("requirements.txt", "".join(f"{line}\n" for line in pins()))
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit()

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def say(self, said: str) -> None:
        self.write("pyproject.toml", PYPROJECT.format(said=said))

    def revision(self, name: str, parent: str | None, folder: str = "alembic") -> None:
        self.write(f"{folder}/versions/{name}.py", MIGRATION.format(revision=name, parent=parent))
        self.write(f"{folder}/env.py", "")

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "notes")
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        names = {
            f"GIT_{who}_{what}": "ada@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        command = ["git", "-C", str(self.folder), *words]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, **names}
        )
        return done.stdout.strip()


def pins() -> list[str]:
    """The bundled service's, of what a plain one needs."""
    text = (archive.PROJECT / "service/requirements.lock").read_text(encoding="utf-8")
    lines = [line.replace("uvicorn[standard]", "uvicorn") for line in locks.logical_lines(text)]
    return [line for line in lines if canonicalize_name(line.partition("==")[0]) in NEEDED]
