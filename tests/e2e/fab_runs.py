"""Running `fab` as an operator does, reading what it said, and bundles to give to it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import subprocess
import sys
import tarfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.e2e.ansible_runs import ROOT, environment

# Where `fab recover` finds a bundle that a host lacks.
BUNDLES = ROOT / "build/bundles"
KEPT = 12
TAIL_LINES = 80
Change = Callable[[tarfile.TarInfo, bytes], bytes | None]


@dataclass(frozen=True)
class Done:
    """A command that has ended: what was typed, its status, all it said, how long it took in seconds."""

    typed: str
    status: int
    output: str
    seconds: float

    def ended(self, status: int, *sentences: str) -> Done:
        """Return this; fail unless it ended so and said these."""
        said = " ".join(self.output.split())
        missing = [sentence for sentence in sentences if sentence not in said]
        assert self.status == status, f"it should have ended with status {status}\n{self}"
        assert not missing, "\n".join(["it does not say", *missing, str(self)])
        return self

    def __str__(self) -> str:
        lines = self.output.splitlines()[-TAIL_LINES:]
        return "\n".join(
            [f"{self.typed}\nended with status {self.status} after {self.seconds:.1f} s", *lines]
        )


class Started:
    """A command that goes on, in a process group of its own."""

    def __init__(self, words: list[str], variables: dict[str, str]) -> None:
        self.typed = " ".join(["fab", *words])
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("fab")), *words],
            cwd=ROOT,
            env={**os.environ, **environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait(self, seconds: float = 300) -> Done:
        """Wait for its end; kill it and fail when that does not come."""
        try:
            output, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
            raise AssertionError(f"{self.typed} did not end within {seconds:g} s\n{output}") from None
        return Done(self.typed, self.process.returncode, output, time.monotonic() - self.began)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None


@dataclass(frozen=True)
class Fab:
    """The tasks of this checkout on one environment."""

    name: str

    def start(self, task: str, *words: str, **variables: str) -> Started:
        """Start a task; variables go into its environment."""
        return Started([task, f"--env={self.name}", *words], variables)

    def run(self, task: str, *words: str, **variables: str) -> Done:
        """Run a task to its end, whatever the end is."""
        return self.start(task, *words, **variables).wait()

    def deploy(self, bundle: Path, *words: str, bake: float = 0, **variables: str) -> Done:
        """Deploy a bundle, watched for `bake` seconds."""
        return self.run("deploy", f"--bundle={bundle}", f"--bake={bake:g}", *words, **variables)


def release_of(bundle: Path) -> str:
    """The release id in a bundle's name."""
    return bundle.name.partition("-")[2].removesuffix(".gz").removesuffix(".tar")


class Moments:
    """Build times that never come twice: a release is named after its second."""

    def __init__(self) -> None:
        self.last = datetime.now(UTC).replace(microsecond=0)

    def next(self) -> datetime:
        """The present second, or the one after the last that was given."""
        now = datetime.now(UTC).replace(microsecond=0)
        self.last = max(now, self.last + timedelta(seconds=1))
        return self.last


MOMENTS = Moments()
MADE: deque[Path] = deque()


def again(
    bundle: Path, change: Change = lambda _, content: content, more: list[tarfile.TarInfo] | None = None
) -> Path:
    """The same code as another release, built a moment later.

    change: gives each member's content, None to leave it out; what it alters, the manifest lists as it is then.
    more: members without content that are added and that no manifest lists.
    """
    moment = MOMENTS.next()
    members: list[tuple[tarfile.TarInfo, bytes]] = []
    with tarfile.open(bundle) as source:
        for member in source:
            file = source.extractfile(member)
            content = change(member, file.read() if file else b"")
            if content is not None:
                members.append((member, content))
    manifest: dict[str, Any] = next(
        json.loads(data) for each, data in members if each.name == "manifest.json"
    )
    manifest["release"] = f"{moment:%Y%m%dT%H%M%SZ}-{manifest['git_sha'][:7]}"
    manifest["built_at"] = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    manifest["files"] = {
        name: entry for name, entry in manifest["files"].items() if name in {each.name for each, _ in members}
    }
    BUNDLES.mkdir(parents=True, exist_ok=True)
    path = BUNDLES / f"{manifest['app']}-{manifest['release']}.tar"
    with tarfile.open(path, "w") as target:
        for member, content in members:
            data = json.dumps(manifest).encode() if member.name == "manifest.json" else content
            member.size = len(data)
            target.addfile(member, io.BytesIO(data))
        for member in more or []:
            target.addfile(member)
    MADE.append(path)
    if len(MADE) > KEPT:
        MADE.popleft().unlink(missing_ok=True)
    return path


def relocked(bundle: Path, lacking: str = "wheelhouse/none") -> Path:
    """The same code with another lock, so that no host has its environment. lacking: how a wheel's path begins."""
    with tarfile.open(bundle) as source:
        lock = source.extractfile("requirements.lock")
        assert lock is not None
        before = lock.read()
    # One more hash that nothing has.
    other = f"--hash=sha256:{secrets.token_hex(32)} "
    after = before.replace(b"--hash=", f"{other}--hash=".encode(), 1)
    entry = {"sha256": hashlib.sha256(after).hexdigest(), "size": len(after)}

    def change(member: tarfile.TarInfo, content: bytes) -> bytes | None:
        if member.name == "manifest.json":
            manifest = json.loads(content)
            manifest["files"]["requirements.lock"] = entry
            return json.dumps(manifest).encode()
        if member.name.startswith(lacking):
            return None
        return after if member.name == "requirements.lock" else content

    return again(bundle, change)
