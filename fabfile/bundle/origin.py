"""Where a service's source is: service/ here, a folder elsewhere, or a git repository, which is cloned and kept.

Clones lie under build/sources/, one a repository; each build fetches what is new there first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fabfile.errors import BuildError
from fabfile.hosts.environment import Source
from fabfile.hosts.inventory import PROJECT

# What git takes for an address elsewhere; none of them runs a command, or begins as an option would.
URL = re.compile(
    r"(https|ssh|git|file)://[^\s'\"]{1,300}|[A-Za-z0-9._-]{1,64}@[A-Za-z0-9.-]{1,253}:[^\s'\"]{1,300}"
)
REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}")
FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,15}")
SECONDS = 300.0
# Nobody is asked for a password, and no other way than these leads to a repository.
QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "https:ssh:git:file",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
}


@dataclass(frozen=True)
class Place:
    """folder: of the service. ref: the commit to build; "" for the files as they are there."""

    folder: Path
    ref: str


def find(said: Source, wanted: str = "", clones: Path = PROJECT / "build/sources") -> Place:
    """wanted: a commit, tag or branch in the place of what the inventory says. Raises BuildError."""
    for name, value, form in (("ref", said.ref, REF), ("folder", said.folder, FOLDER)):
        if value and (not form.fullmatch(value) or ".." in value):
            raise BuildError(f"app_source_{name} is {value[:80]!r}, which is none. Nothing was built.")
    ref = wanted or said.ref
    if URL.fullmatch(said.place):
        return _cloned(said, ref, clones)
    folder = PROJECT / "service" if not said.place else PROJECT / Path(said.place).expanduser() / said.folder
    if not folder.is_dir():
        raise BuildError(
            f"app_source is {said.place[:200]!r}, and {folder} is no folder. It names one, or a git repository as "
            "https://… or git@host:…. Nothing was built."
        )
    return Place(folder, ref)


def _cloned(said: Source, ref: str, clones: Path) -> Place:
    kept = clones / hashlib.sha256(said.place.encode()).hexdigest()[:16]
    clones.mkdir(parents=True, exist_ok=True)
    with _alone(kept.with_suffix(".lock")):
        if not (kept / ".git").is_dir():
            _git(said.place, "clone", "--quiet", "--no-checkout", "--", said.place, str(kept))
        _git(said.place, "-C", str(kept), "fetch", "--quiet", "--prune", "--tags", "--force", "origin")
        _git(said.place, "-C", str(kept), "remote", "set-head", "origin", "--auto")
        commit = _commit(said.place, kept, ref)
        _git(said.place, "-C", str(kept), "checkout", "--quiet", "--force", "--detach", commit)
    if not (kept / said.folder).is_dir():
        raise BuildError(
            f"{said.place} has no {said.folder}/ (app_source_folder) in commit {commit[:7]}. Nothing was built."
        )
    return Place(kept / said.folder, commit)


def _commit(url: str, kept: Path, ref: str) -> str:
    """A branch is what it is there now, not what it was when it was cloned."""
    for name in (f"refs/remotes/origin/{ref or 'HEAD'}", *([ref] if ref else [])):
        command = ["git", "-C", str(kept), "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.strip()
    raise BuildError(f"{url} has no commit, tag or branch {ref or 'HEAD'!r}. Nothing was built.")


def _git(url: str, *words: str) -> None:
    try:
        done = subprocess.run(
            ["git", *words],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            env={**os.environ, **QUIET},
        )
    except FileNotFoundError:
        raise BuildError("git is not installed, and the service's source is in a repository.") from None
    except subprocess.TimeoutExpired:
        raise BuildError(
            f"git had not read {url} after {SECONDS:g} s. Nothing was built. Try it by hand: git ls-remote {url}"
        ) from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BuildError(
            f"git could not read {url}: {said}. Nothing was built. Try it by hand: git ls-remote {url}"
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two builds at once fetch one after the other."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
