"""The releases on this host: which are there, which is live, what each says of itself."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.errors import RefusedError, StepError
from slipway.files import replace_symlink
from slipway.host import RELEASE_ID, Host
from slipway.releases.declaration import Declaration

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Release:
    """A release's directory. manifest is None when it is half-built: manifest.json is written last.

    problem: why a manifest that is there cannot be read; then manifest is None too. Empty otherwise.
    """

    id: str
    manifest: dict[str, Any] | None
    problem: str = ""

    @property
    def half_built(self) -> bool:
        return self.manifest is None and not self.problem


def installed(host: Host) -> list[Release]:
    """All releases on this host, oldest first."""
    if not host.releases.is_dir():
        return []
    names = sorted(entry.name for entry in host.releases.iterdir() if RELEASE_ID.fullmatch(entry.name))
    return [find(host, name) for name in names]


def find(host: Host, release: str) -> Release:
    path = host.release(release) / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Release(release, None)
    except (ValueError, RecursionError):
        return _damaged(release, path, "is not JSON any more")
    except OSError as failure:
        return _damaged(release, path, f"cannot be read ({failure.strerror})")
    return (
        Release(release, manifest) if isinstance(manifest, dict) else _damaged(release, path, "is no object")
    )


def _damaged(release: str, path: Path, what: str) -> Release:
    """One release's damage is told, and never in the way of what is done with the others."""
    return Release(
        release,
        None,
        f"{path} {what}. It was written whole, so the disk or a hand changed it. "
        f"If {release} is not live, remove {path} and stage the release again.",
    )


def refuse_damaged(found: Release) -> None:
    if found.problem:
        raise StepError("manifest-damaged", found.problem, release=found.id)


def require_staged(host: Host, release: str) -> dict[str, Any]:
    """The manifest of a complete release. Raises RefusedError when it is absent or half-built."""
    there = find(host, release)
    refuse_damaged(there)
    found = there.manifest
    if found is None:
        state = "only half-built" if host.release(release).exists() else "not"
        raise RefusedError(
            "not-staged",
            f"Release {release} is {state} on this host.",
            f"Stage it first: slipway stage --bundle - --sha256 HEX < {host.app}-{release}.tar "
            "`slipway list` shows what is here.",
        )
    return found


def declaration(host: Host, release: str | None) -> Declaration:
    """What the release's service says of itself; nothing for a release that is not here."""
    found = find(host, release).manifest if release else None
    return Declaration.of(host.app, (found or {}).get("service"))


def manifests(host: Host) -> list[dict[str, Any]] | None:
    """Of all releases here; None when what one of them needs cannot be told."""
    found = installed(host)
    serving = live(host)
    if any(each.problem or (each.manifest is None and each.id == serving) for each in found):
        return None
    return [each.manifest for each in found if each.manifest is not None]


def live(host: Host) -> str | None:
    """The release `current` points to, or None when nothing is live yet."""
    try:
        target = os.readlink(host.current)
    except FileNotFoundError:
        return None
    except OSError:
        raise _foreign(host, "is not a symbolic link") from None
    directory, _, name = target.rpartition("/")
    if directory not in ("releases", str(host.releases)) or not RELEASE_ID.fullmatch(name):
        raise _foreign(host, f"points to {target}, which is not a release")
    return name


def _foreign(host: Host, what: str) -> RefusedError:
    return RefusedError(
        "current-foreign",
        f"{host.current} {what}; slipway did not write it and leaves it alone.",
        f"Look with `ls -l {host.current.parent}`, put it right or move it away, and run this again.",
    )


def point_to(host: Host, release: str | None) -> None:
    """Moves `current`, and with it the traffic, in one rename; None takes it away."""
    if release is None:
        host.current.unlink(missing_ok=True)
    else:
        replace_symlink(host.current, f"releases/{release}")
