"""What a host knows beside the service: its certificates, its updates, files that are not in force."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway.files import write_atomically
from slipway.host import Host
from slipway.metrics.exposition import Sample
from slipway.processes import run

# Of each service of the host; of two authorities the one that goes is the first.
CERTIFICATES = [f"etc/ssl/slipway/{at}{name}.pem" for at in ("", "*/") for name in ("ca", "host", "public")]
# What an authority gives by ACME: it is asked for the next one when this much of its time is left.
RENEWED, LEFT = [f"etc/ssl/slipway/{at}acme.pem" for at in ("", "*/")], 1 / 3
# What changes when a package is installed, and when apt learns of others.
CHANGES = ("/var/lib/dpkg/status", "/var/lib/apt/lists")
INSTALLED = ("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${binary:Package}\\n")
VERSIONS = ("apt-cache", "--quiet", "policy")
SECONDS = 60.0


def samples(host: Host) -> Iterator[Sample]:
    for path in (path for pattern in (*CERTIFICATES, *RENEWED) for path in sorted(host.root.glob(pattern))):
        shown = f"/{path.relative_to(host.root)}"
        ends = _time(path, "enddate")
        yield "slipway_certificate_expiry_timestamp_seconds", {"path": shown}, ends
        if path.name == "acme.pem":
            due = ends - LEFT * (ends - _time(path, "startdate"))
            yield "slipway_certificate_renewal_due_timestamp_seconds", {"path": shown}, due
    yield "slipway_reboot_required", {}, reboot_required(host)
    if (waiting := security_updates(host)) is not None:
        yield "slipway_security_updates_waiting", {}, waiting
    # Left by verify.yml and fab doctor; none since the last boot is told as none.
    if looked := _object(host.runtime / "verify.json"):
        yield "slipway_verify_timestamp_seconds", {}, float(looked["time"])
        yield "slipway_verify_complaints", {}, int(looked["complaints"])
    sets = _sets(host)
    wanted: dict[str, set[str]] = {}
    for name, digest in (item for said in sets.values() for item in _files(said).items()):
        wanted.setdefault(name, set()).add(digest)
    for role, said in sets.items():
        # What a later set of the role wrote anew is as Slipway wrote it.
        edited = sum(_sha256(host.path(name)) not in wanted[name] for name in _files(said))
        yield "slipway_files_pending", {"role": role}, bool(said.get("pending"))
        yield "slipway_files_edited", {"role": role}, edited


def reboot_required(host: Host) -> bool:
    return host.path("/var/run/reboot-required").exists()


def _time(path: Path, of: str) -> float:
    """Seconds since 1970; 0 for a certificate that cannot be read, which is over for whoever looks."""
    done = run(["openssl", "x509", "-noout", f"-{of}", "-in", str(path)], SECONDS)
    word, _, moment = done.output.strip().partition("=")
    return float(ssl.cert_time_to_seconds(moment)) if word in ("notBefore", "notAfter") else 0.0


def security_updates(host: Host) -> int | None:
    """apt is asked again when something changed; None where it does not answer."""
    kept = host.runtime / "updates.json"
    now = [_changed(host.path(path)) for path in CHANGES]
    said = _object(kept)
    if said.get("at") == now:
        return int(said["waiting"])
    packages = run(INSTALLED, SECONDS)
    names = [name for state, name in map(str.split, packages.output.splitlines()) if state == "installed"]
    # Without a name apt tells of its archives.
    versions = run((*VERSIONS, *names), SECONDS) if packages.ok and names else packages
    if not versions.ok:
        return None
    waiting = _newer_by_security(versions.output)
    if kept.parent.is_dir():
        write_atomically(kept, json.dumps({"at": now, "waiting": waiting}).encode())
    return waiting


def _newer_by_security(policy: str) -> int:
    """Packages of which a security archive has a version that stands above the installed one (***), newest first.

    It need not be the newest: another archive may have a later one, or somebody holds the package back.
    """
    waiting: set[str] = set()
    package, above = "", False
    for line in policy.splitlines():
        if not line.startswith(" "):
            package, above = line, True
        elif line.startswith(" *** "):
            above = False
        elif above and line.startswith(" " * 6) and any("-security/" in suite for suite in line.split()[2:3]):
            waiting.add(package)
    return len(waiting)


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _sets(host: Host) -> dict[str, dict[str, Any]]:
    """What each role wrote: {files: {path: sha256}, pending: whether its daemon has it yet}."""
    folder = host.path(f"/var/lib/slipway/files/{host.app}")
    return {path.stem: _object(path) for path in sorted(folder.glob("*.json"))}


def _files(said: dict[str, Any]) -> dict[str, str]:
    files = said.get("files")
    return files if isinstance(files, dict) else {}


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _object(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
