"""What a bundle says of itself (manifest.json) and what slipway adds when a release is staged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from slipway.errors import RefusedError
from slipway.host import RELEASE_ID, Host
from slipway.releases import declaration_rules, interpreter, requirements
from slipway.releases.declaration import Declaration

SCHEMA = 1
SHA256 = re.compile(r"[0-9a-f]{64}")
# Where a bundle has the wheels of its lock, and where those that are the service's own.
WHEELHOUSE, OWN = "wheelhouse/", "app/"
GIT_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True)
class Manifest:
    """A checked manifest. files: path -> (sha256, size in bytes). targets: (python X.Y, machine) pairs.

    schema_head: None for a service that has no migrations.
    """

    release: str
    schema_head: str | None
    targets: list[tuple[str, str]]
    files: dict[str, tuple[str, int]]
    raw: dict[str, Any]

    @property
    def own_wheels(self) -> list[str]:
        """What only this release has: the service's own wheel, and others that its lock does not pin."""
        return sorted(path for path in self.files if path.startswith(OWN))

    @property
    def shared_wheels(self) -> list[str]:
        """What other releases with this lock have too, for every target."""
        return sorted(path for path in self.files if path.startswith(WHEELHOUSE))

    def size(self, paths: Iterable[str]) -> int:
        """Bytes of these files."""
        return sum(self.files[path][1] for path in paths)

    def check_target(self, host: Host) -> None:
        here = (interpreter.of(host).short, host.machine())
        if here not in self.targets:
            built = ", ".join(f"Python {python} on {machine}" for python, machine in self.targets)
            raise RefusedError(
                "wrong-target",
                f"Release {self.release} is built for {built}; this host has Python {here[0]} on {here[1]}.",
                f"Build one for it: fab build --targets {here[0]}:{here[1]}",
                targets=self.raw["targets"],
                host={"python": here[0], "machine": here[1]},
            )


def parse(data: bytes, app: str) -> Manifest:
    """Checks the manifest of a bundle for the service app. Raises RefusedError with what is wrong."""
    try:
        raw = json.loads(data)
    except ValueError as failure:
        raise _bad(f"it is not JSON ({failure})") from None
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        found = raw.get("schema") if isinstance(raw, dict) else None
        raise _bad(f"its schema is {found!r}, this slipway reads {SCHEMA}")
    if raw.get("app") != app:
        raise _bad(f"it is for the app {raw.get('app')!r}, this host runs {app!r}")
    release, git_sha = raw.get("release"), raw.get("git_sha")
    if not isinstance(release, str) or not RELEASE_ID.fullmatch(release):
        raise _bad(f"its release is {release!r}, which is not a release id")
    if not isinstance(git_sha, str) or not GIT_SHA.fullmatch(git_sha):
        raise _bad(f"its git_sha is {git_sha!r}, which is not a commit")
    if not git_sha.startswith(release.rpartition("-")[2]):
        raise _bad(f"its release {release} does not end in the first seven digits of its commit {git_sha}")
    schema_head, built_at = raw.get("schema_head"), raw.get("built_at")
    if wrong := declaration_rules.complaints(raw.get("service", {})):
        raise _bad(f"of its service it says what cannot be used: {'; '.join(wrong)}")
    if Declaration.of(app, raw.get("service")).has_migrations:
        if not isinstance(schema_head, str) or not schema_head:
            raise _bad("it names no schema_head")
    elif schema_head is not None:
        raise _bad(f"its schema_head is {declaration_rules.shown(schema_head)}, and it has no migrations")
    if not isinstance(built_at, str) or not isinstance(raw.get("dirty"), bool):
        raise _bad("it lacks built_at or dirty")
    return Manifest(release, schema_head, _targets(raw.get("targets")), _files(raw.get("files")), raw)


def _targets(value: object) -> list[tuple[str, str]]:
    if not isinstance(value, list) or not value:
        raise _bad("it names no targets")
    targets = []
    for target in value:
        pair = (target.get("python"), target.get("machine")) if isinstance(target, dict) else (None, None)
        if not isinstance(pair[0], str) or not isinstance(pair[1], str):
            raise _bad(f"the target {target!r} does not give python and machine")
        targets.append((pair[0], pair[1]))
    return targets


def _files(value: object) -> dict[str, tuple[str, int]]:
    if not isinstance(value, dict):
        raise _bad("it lists no files")
    files = {}
    for path, entry in value.items():
        digest, size = _digest_and_size(entry)
        if digest is None or size is None:
            raise _bad(f"the file {path!r} has no sha256 and size")
        files[path] = (digest, size)
    if "requirements.lock" not in files or not any(path.startswith(OWN) for path in files):
        raise _bad("it needs requirements.lock and a wheel under app/")
    for path in files:
        if (
            name := requirements.normal(path.rpartition("/")[2].partition("-")[0])
        ) in requirements.INSTALLERS:
            raise _bad(f"its {path} would replace the host's {name}")
    return files


def _digest_and_size(entry: object) -> tuple[str | None, int | None]:
    if not isinstance(entry, Mapping):
        return None, None
    digest, size = entry.get("sha256"), entry.get("size")
    good_digest = digest if isinstance(digest, str) and SHA256.fullmatch(digest) else None
    good_size = size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None
    return good_digest, good_size


def _bad(reason: str) -> RefusedError:
    return RefusedError("bundle-manifest", f"The bundle's manifest.json is not usable: {reason}.")
