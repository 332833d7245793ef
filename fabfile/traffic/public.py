"""What customers get decides: a release that they do not reach after the switch does not keep the traffic."""

from __future__ import annotations

import time

from fabfile.errors import FabError, UnfinishedError
from fabfile.hosts.environment import Public
from fabfile.hosts.state import States
from fabfile.traffic.probe import Probe, certificate_ends

CONVERGE_SECONDS = 5.0
PAUSE_SECONDS = 0.02
CERTIFICATE_DAYS = 14


class PublicError(FabError):
    """Customers are not answered as they should be."""

    exit_code = 3


def address(public: Public) -> str:
    port = "" if public.port == 443 else f":{public.port}"
    return f"https://{public.name}{port}{public.path} (at {public.address})"


def require(probe: Probe, release: str, seconds: float = CONVERGE_SECONDS) -> None:
    """Wait until customers are answered by the release, and well.

    Raises PublicError when they are not, and were answered well before: going back helps them. Where they were not
    served before either, nothing is gone back to; `complain` says so in the end.
    """
    if probe.watches and not _converged(probe, release, seconds) and probe.good:
        raise PublicError(
            f"customers do not get it: {address(probe.public)} {_said(probe, release)}, and was well before"
        )


def require_reached(probe: Probe, states: States) -> None:
    """Raise PublicError where every host's release is ready and the public path does not lead to it.

    A rollout cannot be watched then, and what is in the way is not a release: its settings may fit no name that the
    edge serves.
    """
    ready = all(
        ((found.status.get("live") or {}).get("socket") or {}).get("ready") for found in states.values()
    )
    if probe.watches and ready and not probe.reached and probe.seen.lost:
        raise PublicError(
            f"customers do not reach what is live either, though it is ready on every host: {address(probe.public)} "
            f"answers {probe.seen.faults[-1]}. Something between them and the hosts is in the way. Is the edge "
            "configured as the inventory says? Type: ansible-playbook -i inventory/ENV site.yml. Where this machine "
            "cannot reach the public path, say so in the inventory: deploy_public_path empty"
        )


def certificate(public: Public) -> list[str]:
    """What a plan says of the public certificate, nothing when it is good for a while or nobody here reaches it."""
    if not public.path:
        return []
    try:
        return ending(public, certificate_ends(public))
    except OSError as failure:
        return [f"the public certificate was not seen: {address(public)} {failure}"]


def ending(public: Public, ends: float | None) -> list[str]:
    """ends: in seconds since 1970, None where nobody saw it. A deploy makes it neither better nor worse."""
    days = None if ends is None else (ends - time.time()) / 86400
    if days is None or days > CERTIFICATE_DAYS:
        return []
    return [f"the certificate of {public.name} ends in {days:.1f} days: docs/runbooks/db-certificate.md"]


def complain(probe: Probe, release: str, environment: str) -> None:
    """Raise UnfinishedError when a release is live everywhere and customers do not get it."""
    if probe.watches and (probe.fault or probe.latest != release):
        raise UnfinishedError(
            f"{release} is live on every app host, but customers do not get it: {address(probe.public)} "
            f"{_said(probe, release)}. They were not served before either, so nothing was taken back. "
            f"Type: fab status --env {environment}"
        )


def _converged(probe: Probe, release: str, seconds: float) -> bool:
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        if probe.latest == release and not probe.fault and probe.answered > began:
            return True
        time.sleep(PAUSE_SECONDS)
    return False


def _said(probe: Probe, release: str) -> str:
    return f"answers {probe.fault}" if probe.fault else f"is answered by {probe.latest}, not by {release}"
