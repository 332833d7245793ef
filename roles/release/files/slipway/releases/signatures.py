"""Whose bundle it is: its checksum, signed with the SSH key of somebody whom the inventory lets sign.

ssh-keygen judges. What is read of a signature here says why it is no good, and admits nothing.
"""

from __future__ import annotations

import base64
import configparser
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from slipway.errors import RefusedError
from slipway.host import Host
from slipway.keys import fingerprint
from slipway.processes import Outcome, run
from slipway.releases import kept, marks, signers

SECONDS = 20.0
# In the manifest of a release on a host; a bundle's own manifest does not say who signed it.
FACTS = ("signed_by", "signed_with", "signature")
TOO_OLD = re.compile(r"usage:|unknown option|illegal option", re.IGNORECASE)


@dataclass(frozen=True)
class Signed:
    """by: the signer's name in the inventory. key: its fingerprint. signature: what was given, as base64."""

    by: str
    key: str
    signature: str

    @property
    def facts(self) -> dict[str, str]:
        return dict(zip(FACTS, (self.by, self.key, self.signature), strict=True))


class _NoGoodError(Exception):
    """code, reason, advice: the parts of a refusal."""

    def __init__(self, code: str, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason, self.advice = code, reason, advice


def required(host: Host) -> bool:
    """Whether this host takes signed bundles alone: unless its settings say otherwise, in so many words."""
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read_string(host.settings.read_text(encoding="utf-8"))
        return settings.getboolean("release", "signatures_required")
    except (OSError, ValueError, configparser.Error):
        return True


def describe(host: Host) -> dict[str, Any]:
    """For `slipway status`: signers are those who may sign now, with their keys' fingerprints."""
    allowed, wrong = signers.read(host)
    now = {signer.name: signer.key for signer in allowed if signer.may_sign_now}
    return {"required": required(host), "signers": now, "wrong_lines": wrong}


def check(host: Host, sha256: str, signature: str | None) -> Signed | None:
    """Who signed the bundle with this checksum; None where nobody has to. Raises RefusedError when nobody did."""
    if not required(host):
        return None
    try:
        return _judged(host, sha256, signature)
    except _NoGoodError as no:
        raise RefusedError(no.code, no.reason, no.advice) from None


def require_good(host: Host, release: str) -> dict[str, Any]:
    """The manifest of a complete release that may be used. Raises RefusedError.

    What has not proved itself here may not, when who signed its bundle may not sign any more. What served stays: a
    rollback has to go somewhere.
    """
    manifest = kept.require_staged(host, release)
    if kept.live(host) == release or marks.read(host, release, marks.VERIFIED) is not None:
        return manifest
    if not required(host):
        return manifest
    try:
        _judged(host, str(manifest.get("bundle_sha256")), manifest.get("signature"))
    except _NoGoodError as no:
        raise RefusedError(
            no.code,
            f"Release {release} was staged and never served here, and nobody vouches for it now: {no.reason}",
            "Deploy it again: fab deploy --bundle FILE signs it with your key.",
            release=release,
            signed_by=manifest.get("signed_by"),
        ) from None
    return manifest


def _judged(host: Host, sha256: str, signature: str | None) -> Signed:
    allowed, wrong = signers.read(host)
    names = ", ".join(signer.name for signer in allowed) or "nobody"
    if not signature:
        raise _NoGoodError(
            "signature-missing",
            f"The bundle is not signed, and this host takes none that is not. Who may sign: {names}.",
            "`fab deploy` signs with your SSH key, `fab build --env ENV` ahead of that.",
        )
    try:
        blob = base64.b64decode(signature, validate=True)
        key, namespace = _read(blob)
    except ValueError:
        raise _NoGoodError(
            "signature-damaged",
            "What was given as the bundle's signature is none, or was cut.",
            "Sign again.",
        ) from None
    if namespace != host.namespace:
        raise _NoGoodError(
            "signature-foreign",
            f"The signature is for {namespace[:80]!r}, and one for {host.namespace} is needed.",
        )
    signer = next((each for each in allowed if each.key == key), None)
    if signer is None:
        more = f" Of {host.allowed_signers}, line {', '.join(map(str, wrong))} is damaged." if wrong else ""
        raise _NoGoodError(
            "signer-unknown",
            f"The bundle was signed with the key {key}, which may not sign here. Who may: {names}.{more}",
            "The inventory says who may (release_signers), and site.yml brings it here.",
        )
    if not signer.may_sign_now:
        when = f"from {signer.after or 'ever'} to {signer.before or 'ever'}"
        raise _NoGoodError(
            "signer-expired", f"{signer.name} may sign {when}, by this host's clock, and not now."
        )
    outcome = _verified(host, signer.name, sha256, blob)
    if outcome.ok:
        return Signed(signer.name, key, signature)
    raise _refused(signer.name, outcome)


def _refused(name: str, outcome: Outcome) -> _NoGoodError:
    said = outcome.tail(1) or "nothing"
    if outcome.status is None or TOO_OLD.search(outcome.output):
        return _NoGoodError(
            "ssh-keygen-unfit",
            f"This host's ssh-keygen cannot check signatures; OpenSSH 8.9 or newer can. It said: {said}.",
        )
    return _NoGoodError(
        "signature-wrong",
        f"{name} signed another bundle, or this one was changed after that. ssh-keygen said: {said}.",
        "Build and sign again.",
    )


def _verified(host: Host, name: str, sha256: str, blob: bytes) -> Outcome:
    armoured = (
        f"-----BEGIN SSH SIGNATURE-----\n{base64.encodebytes(blob).decode()}-----END SSH SIGNATURE-----\n"
    )
    with _in_memory(armoured.encode()) as (descriptor, path):
        command = [host.ssh_keygen, "-Y", "verify", "-f", str(host.allowed_signers), "-I", name]
        command += ["-n", host.namespace, "-s", path]
        try:
            return run(command, SECONDS, keep_open=[descriptor], given=f"{sha256}\n".encode())
        except FileNotFoundError:
            raise _NoGoodError(
                "ssh-keygen-missing",
                f"This host has no {host.ssh_keygen} to check the bundle's signature with.",
                "Type: apt-get install openssh-client",
            ) from None


@contextmanager
def _in_memory(data: bytes) -> Iterator[tuple[int, str]]:
    """A file that nobody else can open and that no killed run leaves behind."""
    descriptor = os.memfd_create("signature")
    try:
        os.write(descriptor, data)
        yield descriptor, f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _read(blob: bytes) -> tuple[str, str]:
    """The fingerprint of the key and the namespace in a signature (PROTOCOL.sshsig). Raises ValueError."""
    if blob[:6] != b"SSHSIG":
        raise ValueError("it does not begin as one")
    key, rest = _string(blob[10:])
    namespace, _ = _string(rest)
    return fingerprint(key), namespace.decode()


def _string(data: bytes) -> tuple[bytes, bytes]:
    end = 4 + int.from_bytes(data[:4], "big")
    if len(data) < 4 or len(data) < end:
        raise ValueError("it was cut")
    return data[4:end], data[end:]
