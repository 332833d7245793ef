"""Bringing a bundle to hosts, over the SSH connection that is there: no registry, no index, no network of theirs."""

from __future__ import annotations

from fabfile.bundle import Bundle
from fabfile.fleet import refusal
from fabfile.lease import Lease
from fabfile.remote import Remote
from fabfile.report import Report

SECONDS = 600.0


def ship(remote: Remote, bundle: Bundle, lease: Lease, report: Report) -> None:
    """Bring the bundle to one host and build the release there. Raises AnswerError when the host refuses it."""
    words = [f"--sha256={bundle.sha256}", f"--release={bundle.release}", *lease.words]
    if bundle.signature:
        words.append(f"--signature={bundle.signature}")
    answer = remote.ship(bundle.path, words, SECONDS)
    if not answer.ok:
        raise refusal(remote.name, answer)
    by = f", signed by {answer.result['signed_by']}" if answer.result.get("signed_by") else ""
    done = "built" if answer.changed else "is there already"
    report.done(remote.name, f"{bundle.release} {done}{by}")
