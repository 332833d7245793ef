"""`slipway stage`: a bundle becomes a complete release on this host, or nothing changes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from slipway import bundle_archive, environment, releases
from slipway.errors import RefusedError, StepError
from slipway.files import fsync_directory, remove, write_atomically
from slipway.host import Host
from slipway.journal import utc_now
from slipway.manifest import SHA256, Manifest
from slipway.session import Report, Session

# Of the files in the bundle. Measured: the copy received, the files unpacked, 3.5 times as much installed.
SPACE_FACTOR = 6
# What nginx reaches through `current`: the service, and its metrics.
SOCKETS = ("http.sock", "metrics.sock")


def stage(session: Session, bundle: str, sha256: str, expected: str | None = None) -> Report:
    """bundle: a path, or - for standard input. expected: the release id the caller means, if it says so."""
    if not SHA256.fullmatch(sha256.lower()):
        raise RefusedError("usage", f"--sha256 {sha256!r} is not 64 hexadecimal digits.")
    spool = session.host.incoming / f".{os.getpid()}.spool"
    try:
        bundle_archive.receive(bundle, sha256, spool)
        manifest = bundle_archive.inspect(spool)
        _check_release(bundle, expected, manifest)
        manifest.check_target(session.host)
        return _stage(session, spool, manifest, sha256.lower())
    except OSError as failure:
        raise StepError(
            "storage",
            f"Writing the release failed: {failure}. What there was of it was removed; traffic is untouched. "
            f"`df -h {session.host.releases} {session.host.state}` shows the space left.",
        ) from failure
    finally:
        spool.unlink(missing_ok=True)


def _stage(session: Session, spool: Path, manifest: Manifest, sha256: str) -> Report:
    host, release = session.host, manifest.release
    result = {"release": release, "path": str(host.release(release)), "bundle_sha256": sha256}
    present = releases.find(host, release).manifest
    if present is not None:
        if present.get("bundle_sha256") == sha256:
            return _finish(session, release, result)
        raise RefusedError(
            "release-conflict",
            f"Release {release} is already on this host, built from other bytes: "
            f"its bundle had sha256 {present.get('bundle_sha256')}, this one has {sha256}.",
            "Build again: a new build has a new release id.",
            present=present.get("bundle_sha256"),
            offered=sha256,
        )
    if releases.live(host) == release:
        raise RefusedError(
            "release-live",
            f"Release {release} is live without its manifest.json, and rebuilding it would stop the traffic.",
            "Activate another release first.",
        )
    needed = _check_space(host, manifest)
    with session.journal.step("stage", release, bundle_sha256=sha256):
        swept = sweep(session)
        _build(session, spool, manifest, sha256)
    return Report(True, {**result, "swept": swept, "space_reserved": needed}, f"Release {release} is staged.")


def _finish(session: Session, release: str, result: dict[str, Any]) -> Report:
    """A complete release needs nothing more, unless the run that completed it was killed before its end."""
    if not any(entry["step"] == "stage" for entry in session.journal.read(step="stage").unfinished()):
        return Report(False, result, f"Release {release} is already staged; nothing was changed.")
    with session.journal.step("stage", release, resumed=True):
        swept = sweep(session)
    return Report(
        True, {**result, "swept": swept}, f"Release {release} is staged; an earlier run was cut short."
    )


def _build(session: Session, spool: Path, manifest: Manifest, sha256: str) -> None:
    host, release = session.host, manifest.release
    unpacked, directory = host.staging / release, host.release(release)
    try:
        with session.journal.step("unpack", release):
            bundle_archive.unpack(spool, manifest, unpacked)
        with session.journal.step("install", release):
            directory.mkdir(mode=0o755)
            environment.build(session, manifest, unpacked, directory / "venv")
        with session.journal.step("publish", release):
            for name in SOCKETS:
                (directory / name).symlink_to(host.runtime_socket(release, name))
            # All files of the environment must be on the disk before the one that says they are.
            os.sync()
            facts = {"bundle_sha256": sha256, "staged_at": utc_now(), "python": host.python_version()}
            content = json.dumps({**manifest.raw, **facts}, indent=2, sort_keys=True) + "\n"
            write_atomically(directory / releases.MANIFEST, content.encode())
            fsync_directory(host.releases)
    except BaseException:
        remove(directory)
        raise
    finally:
        remove(unpacked)


def sweep(session: Session) -> list[str]:
    """Removes what a killed run left: half-built releases, unpacked bundles, cut uploads. Returns paths."""
    host = session.host
    leftovers = stage_leftovers(host)
    leftovers += [host.release(name) for name in half_built(host) if name != releases.live(host)]
    if leftovers:
        names = [str(path.relative_to(host.root)) for path in leftovers]
        with session.journal.step("sweep", removed=names):
            for path in leftovers:
                remove(path)
        return names
    return []


def stage_leftovers(host: Host) -> list[Path]:
    """Unpacked bundles and cut uploads of a killed run."""
    spools = [path for path in host.incoming.glob(".*.spool") if path.name != f".{os.getpid()}.spool"]
    return sorted([*spools, *host.staging.glob("*")])


def half_built(host: Host) -> list[str]:
    return [found.id for found in releases.installed(host) if found.manifest is None]


def _check_release(bundle: str, expected: str | None, manifest: Manifest) -> None:
    named = re.search(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}(?=\.tar\.gz$)", bundle)
    wanted = expected or (named.group() if named else None)
    if wanted and wanted != manifest.release:
        raise RefusedError(
            "release-mismatch",
            f"The bundle says it is release {manifest.release}, but {wanted} was asked for.",
            asked=wanted,
            found=manifest.release,
        )


def _check_space(host: Host, manifest: Manifest) -> int:
    needed = SPACE_FACTOR * sum(size for _, size in manifest.files.values())
    for path in (host.releases, host.staging):
        free = host.free_bytes(path)
        if free < needed:
            raise RefusedError(
                "disk-space",
                f"Release {manifest.release} needs {needed} bytes free for staging, {path} has {free}.",
                "Remove old releases or make room, then run this again.",
                needed=needed,
                free=free,
                path=str(path),
            )
    return needed
