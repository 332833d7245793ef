"""A small host below a temporary folder, and the module host_files run on it; the other files import these."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.test_postgresql_harness import load_module, run_module

from ansible.module_utils.slipway_files import manifest, write  # isort: skip


class FilesHost:
    """Paths are given relative to `root`; what the module remembers is in `root`/state."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.module = load_module("host_files")

    def path(self, name: str) -> Path:
        return self.root / name

    def file(self, name: str, content: str, **changed: Any) -> dict[str, Any]:
        """One file of a set, as the action plugin hands it over; root's own with mode 0644 unless said otherwise."""
        encoded = base64.b64encode(content.encode()).decode()
        plain = {"owner": "root", "group": "root", "mode": "0644", "secret": False}
        return {"path": str(self.path(name)), "content": encoded, **plain, **changed}

    def wanted(self, *files: dict[str, Any], **changed: Any) -> dict[str, Any]:
        lists: dict[str, Any] = {part: [] for part in ("directories", "links", "checks", "watch")}
        handler = {"has_handler": False, "in_force": False}
        named = {"app": "shop", "name": "web", "claims": {}}
        return {**named, "files": list(files), **lists, **handler, **changed}

    def answer(self, *files: dict[str, Any], check: bool = False, **changed: Any) -> dict[str, Any]:
        payload = zlib.compress(json.dumps(self.wanted(*files, **changed)).encode())
        return run_module("host_files", {"payload": base64.b64encode(payload).decode()}, check)

    def state(self, *files: dict[str, Any], check: bool = False, **changed: Any) -> dict[str, Any]:
        """The module's answer; it must not have failed."""
        answer = self.answer(*files, check=check, **changed)
        assert not answer.get("failed"), answer.get("msg")
        return answer

    def refusal(self, *files: dict[str, Any], check: bool = False, **changed: Any) -> str:
        """The sentence of a set that must be refused."""
        answer = self.answer(*files, check=check, **changed)
        assert answer.get("failed"), f"should have been refused, but: {answer}"
        return str(answer["msg"])

    def die_after(self, calls: int, *files: dict[str, Any], **changed: Any) -> bool:
        """State the set in a process that is killed after so many file operations; whether it lived to the end."""
        child = os.fork()
        if child == 0:
            die_at_a_call(calls)
            try:
                self.module.state(self.wanted(*files, **changed), manifest.read("shop", "web"), False)
            except BaseException:
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -9), f"the run neither ended well nor was killed: status {status}"
        return status == 0

    def everything(self) -> dict[str, tuple[str, str]]:
        """{path: (attributes, content)} of all that is on the host, the module's own memory too."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            status = path.lstat()
            attributes = f"{status.st_uid}:{status.st_gid} {stat.filemode(status.st_mode)}"
            content = path.read_text() if path.is_file() else ""
            found[str(path.relative_to(self.root))] = (attributes, content)
        return found

    def original(self, name: str) -> Path:
        return self.root / "state/originals" / str(self.path(name)).lstrip("/")


def die_at_a_call(calls: int) -> None:
    """Make this process kill itself instead of its `calls`-th rename, link, removal or flush to disk."""
    left = calls

    def counted(name: str) -> Any:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), 9)
            return real(*arguments, **options)

        return call

    for name in ("rename", "symlink", "unlink", "fsync"):
        setattr(os, name, counted(name))


@pytest.fixture
def files_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FilesHost]:
    root = Path(tempfile.mkdtemp(prefix="slipway-files-"))
    for module in (manifest, write):
        monkeypatch.setattr(module, "STATE", str(root / "state"))
    yield FilesHost(root)
    shutil.rmtree(root)
