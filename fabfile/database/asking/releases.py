"""Which revision of the schema the live release has, and what the releases at hand know of it, looked at anew."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fabfile import schema
from fabfile.database.asking import connection, ssh
from fabfile.database.asking.place import Asked, Database
from fabfile.hosts.app_host import AppHost
from fabfile.schema import Revision

Known = tuple[str | None, list[list[Revision]]]
# A login shell may print lines of its own.
MARK = "slipway-manifests\n"
# An answer of another host holds for so long, while somebody watches.
SECONDS = 30.0


class OnTheHost:
    """The database's host serves too: its facts say it."""

    def now(self, facts: Mapping[str, Any]) -> Known:
        manifest = facts.get("manifest") or {}
        rows = [manifest.get("schema_revisions") or [], *(facts.get("chains") or [])]
        return _head(manifest), _chains(rows)

    def close(self) -> None:
        """There is nothing to end."""


class Nowhere:
    """Nobody is asked: app hosts tell of their own schema."""

    def now(self, _facts: Mapping[str, Any]) -> Known:
        return "", []

    def close(self) -> None:
        """There is nothing to end."""


class OnAnother:
    """The first app host is asked meanwhile, and again when its answer is old."""

    def __init__(self, host: AppHost, app: str) -> None:
        self.host, self.folder = host, f"/srv/{app}"
        self._asked: subprocess.Popen[bytes] | None = self._ask()
        self._known: Known = (None, [])
        self._at = 0.0

    def now(self, _facts: Mapping[str, Any]) -> Known:
        if self._asked is None and time.monotonic() - self._at > SECONDS:
            self._asked = self._ask()
        if self._asked is not None:
            self._known, self._at = _answer(self._asked), time.monotonic()
            self._asked = None
        return self._known

    def close(self) -> None:
        """End a question that nobody waits for."""
        if self._asked is not None:
            connection.end(self._asked)

    def _ask(self) -> subprocess.Popen[bytes]:
        # The live one first, then all.
        asked = f"echo {MARK.strip()}; cat {self.folder}/current/manifest.json {self.folder}/releases/*/manifest.json"
        return subprocess.Popen(
            ssh.command(self.host, asked),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )


Release = OnTheHost | OnAnother | Nowhere


def of(environment: Asked, database: Database) -> OnTheHost | OnAnother:
    """Where to learn it for an environment."""
    if database.host.name in {host.name for host in environment.app_hosts}:
        return OnTheHost()
    return OnAnother(environment.app_hosts[0], environment.app)


def _answer(process: subprocess.Popen[bytes]) -> Known:
    """What the manifests say; nothing when the host does not say it in time: then the revision is not known."""
    try:
        output, _ = process.communicate(timeout=ssh.CONNECT_SECONDS)
    except subprocess.TimeoutExpired:
        connection.end(process)
        return None, []
    manifests = _objects(output.decode("utf-8", "replace").rpartition(MARK)[2])
    return _head(manifests[0] if manifests else {}), _chains(
        [each.get("schema_revisions") or [] for each in manifests]
    )


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects that stand one after another, as far as they can be read."""
    found: list[dict[str, Any]] = []
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        try:
            one, end = decoder.raw_decode(text[at:].lstrip())
        except ValueError:
            break
        at += end + len(text[at:]) - len(text[at:].lstrip())
        found += [one] if isinstance(one, dict) else []
    return found


def _head(manifest: Mapping[str, Any]) -> str | None:
    """None where it is not known, "" of a release without migrations."""
    if "release" in manifest and manifest.get("schema_head", "") is None:
        return ""
    return str(manifest.get("schema_head") or "") or None


def _chains(rows: Sequence[Any]) -> list[list[Revision]]:
    """The lists that can be read; a release of before they were listed has none."""
    found = []
    for revisions in rows:
        try:
            found.append(schema.of_manifest({"schema_revisions": revisions}))
        except (TypeError, ValueError):
            continue
    return [chain for chain in found if chain]
