"""`slipway stage`: a bundle becomes a complete release on this host, or nothing changes."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from slipway.clock import utc_now
from slipway.errors import RefusedError, StepError
from slipway.files import fsync_directory, remove, sync_disk_of, tree_size, write_atomically
from slipway.host import Host
from slipway.releases import (
    bundle_archive,
    declaration_here,
    environment,
    interpreter,
    kept,
    overlay,
    signatures,
    space,
    starting,
    wheel_store,
)
from slipway.releases.declaration import Declaration
from slipway.releases.manifest import SHA256, Manifest
from slipway.releases.requirements import Pin
from slipway.releases.signatures import Signed
from slipway.turns.session import Report, Session

# What nginx reaches through `current`: the service, and its metrics.
SOCKETS = ("http.sock", "metrics.sock")


@dataclass(frozen=True)
class Bundle:
    """One that was received and inspected. spool: slipway's own copy. signed: None where nobody has to."""

    spool: Path
    manifest: Manifest
    pins: list[Pin]
    sha256: str
    signed: Signed | None

    @property
    def facts(self) -> dict[str, str]:
        """What is kept of it in the release's manifest."""
        return {"bundle_sha256": self.sha256, **(self.signed.facts if self.signed else {})}

    @property
    def signer(self) -> dict[str, str]:
        """For answers and the journal."""
        return {"signed_by": self.signed.by} if self.signed else {}


def stage(
    session: Session,
    bundle: str,
    sha256: str,
    expected: str | None = None,
    signature: str | None = None,
    in_parts: bool = False,
) -> Report:
    """bundle: a file in host.incoming, or - for standard input. expected: the release id the caller means, if any.

    signature: of the checksum. It is checked before a byte of the bundle is read. in_parts: wheels that this host has
    are only named in what comes.
    """
    if not SHA256.fullmatch(sha256.lower()):
        raise RefusedError("usage", f"--sha256 {sha256!r} is not 64 hexadecimal digits.")
    sha256 = sha256.lower()
    signed = signatures.check(session.host, sha256, signature)
    spool = session.host.incoming / f".{os.getpid()}.spool"
    try:
        stored = partial(wheel_store.read, session.host) if in_parts else None
        bundle_archive.receive(bundle, sha256, spool, stored)
        manifest, pins = bundle_archive.inspect(spool, session.host.app)
        _check_release(expected, manifest)
        manifest.check_target(session.host)
        declared = _declared(session.host, manifest)
        declaration_here.check_calendars(session.host, declared)
        declaration_here.check_variables(session.host, declared)
        return _stage(session, Bundle(spool, manifest, pins, sha256, signed))
    except OSError as failure:
        raise StepError(
            "storage",
            f"Writing the release failed: {failure}. What there was of it was removed; traffic is untouched. "
            f"`df -h {session.host.releases} {session.host.state}` shows the space left.",
        ) from failure
    finally:
        spool.unlink(missing_ok=True)


def _stage(session: Session, bundle: Bundle) -> Report:
    host, release, sha256 = session.host, bundle.manifest.release, bundle.sha256
    result: dict[str, Any] = {"release": release, "path": str(host.release(release)), "bundle_sha256": sha256}
    result |= bundle.signer
    there = kept.find(host, release)
    kept.refuse_damaged(there)
    present = there.manifest
    if present is not None:
        if present.get("bundle_sha256") == sha256:
            return _finish(session, bundle, present, result)
        raise RefusedError(
            "release-conflict",
            f"Release {release} is already on this host, built from other bytes: "
            f"its bundle had sha256 {present.get('bundle_sha256')}, this one has {sha256}.",
            "Build again: a new build has a new release id.",
            present=present.get("bundle_sha256"),
            offered=sha256,
        )
    if kept.live(host) == release:
        raise RefusedError(
            "release-live",
            f"Release {release} is live without its manifest.json, and rebuilding it would stop the traffic.",
            "Activate another release first.",
        )
    name = environment.name_of(host, bundle.pins)
    wrong = environment.complaint(host, name)
    freed = sum(tree_size(path) for path in leftovers(host) if path.is_relative_to(host.releases.parent))
    needed = space.require(host, bundle.manifest, bool(wrong), freed)
    with session.journal.step("stage", release, bundle_sha256=sha256, **bundle.signer):
        swept = sweep(session)
        _build(session, bundle, name, wrong)
    result |= {"environment": name, "environment_built": wrong, "swept": swept, "space_reserved": needed}
    said = f"; its environment {name} {wrong}: it was built" if wrong else ""
    return Report(True, result, f"Release {release} is staged{said}.")


def _finish(session: Session, bundle: Bundle, present: dict[str, Any], result: dict[str, Any]) -> Report:
    """A complete release needs nothing more, unless the run that completed it was killed before its end.

    When somebody else signed it, they vouch for it from now on.
    """
    release = bundle.manifest.release
    if bundle.signed and present.get("signed_with") != bundle.signed.key:
        with session.journal.step("stage", release, bundle_sha256=bundle.sha256, **bundle.signer):
            swept = sweep(session)
            _publish(session.host, release, {**present, **bundle.facts})
        return Report(
            True,
            {**result, "swept": swept},
            f"Release {release} was staged already; {bundle.signed.by} vouches for it from now on.",
        )
    if not any(entry["step"] == "stage" for entry in session.journal.read(step="stage").unfinished()):
        return Report(False, result, f"Release {release} is already staged; nothing was changed.")
    with session.journal.step("stage", release, resumed=True):
        swept = sweep(session)
    return Report(
        True, {**result, "swept": swept}, f"Release {release} is staged; an earlier run was cut short."
    )


def _build(session: Session, bundle: Bundle, name: str, wrong: str) -> None:
    """name: of the environment. wrong: why that has to be built first, empty when it is good."""
    host, manifest, release = session.host, bundle.manifest, bundle.manifest.release
    scratch, directory = host.staging / release, host.release(release)
    try:
        with session.journal.step("unpack", release):
            scratch.mkdir(mode=0o700)
            shared = manifest.shared_wheels if wrong else wheel_store.lacking(host, manifest)
            bundle_archive.unpack(bundle.spool, {*manifest.own_wheels, *shared}, scratch / "bundle")
        if wrong:
            with session.journal.step("environment", release, environment=name, because=wrong):
                environment.build(session, release, name, bundle.pins, scratch)
        with session.journal.step("install", release):
            directory.mkdir(mode=0o755)
            overlay.build(session, manifest, name, scratch)
            declaration_here.check_programs(host, release, _declared(host, manifest))
        with session.journal.step("publish", release):
            wheel_store.keep(host, manifest, scratch / "bundle")
            for socket in SOCKETS:
                (directory / socket).symlink_to(host.runtime_socket(release, socket))
            declaration_here.link_static(host, release, _declared(host, manifest))
            starting.write(host, release, manifest.raw)
            # All files of the environment must be on the disk before the one that says they are.
            sync_disk_of(host.releases)
            facts = {
                **bundle.facts,
                "staged_at": utc_now(),
                "python": interpreter.of(host).short,
                "environment": name,
            }
            said = {name: value for name, value in manifest.raw.items() if name not in signatures.FACTS}
            _publish(host, release, {**said, **facts})
            fsync_directory(host.releases)
    except BaseException:
        for path in (directory, *environment.half_built(host)):
            remove(path)
        raise
    finally:
        remove(scratch)


def _declared(host: Host, manifest: Manifest) -> Declaration:
    return Declaration.of(host.app, manifest.raw.get("service"))


def _publish(host: Host, release: str, manifest: dict[str, Any]) -> None:
    content = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    write_atomically(host.release(release) / kept.MANIFEST, content.encode())


def sweep(session: Session) -> list[str]:
    """Removes what a killed run left: half-built releases, unpacked bundles, cut uploads. Returns paths."""
    host = session.host
    found = leftovers(host)
    names = [str(path.relative_to(host.root)) for path in found]
    if found:
        with session.journal.step("sweep", removed=names):
            for path in found:
                remove(path)
    return names


def leftovers(host: Host) -> list[Path]:
    """All that a sweep removes."""
    live = kept.live(host)
    return stage_leftovers(host) + [host.release(name) for name in half_built(host) if name != live]


def stage_leftovers(host: Host) -> list[Path]:
    """Unpacked bundles, cut uploads and half-built environments of a killed run."""
    spools = [path for path in host.incoming.glob(".*.spool") if path.name != f".{os.getpid()}.spool"]
    return sorted([*spools, *host.staging.glob("*"), *environment.half_built(host)])


def half_built(host: Host) -> list[str]:
    return [found.id for found in kept.installed(host) if found.half_built]


def _check_release(expected: str | None, manifest: Manifest) -> None:
    if expected and expected != manifest.release:
        raise RefusedError(
            "release-mismatch",
            f"The bundle says it is release {manifest.release}, but {expected} was asked for.",
            asked=expected,
            found=manifest.release,
        )
