"""What waits for a patch on the app hosts, as `fab status` shows it."""

from __future__ import annotations

from fabfile.hosts.connection import Remote
from fabfile.hosts.state import HostState

# apt is asked anew after its lists, or what is installed, have changed.
SECONDS = 90.0


def beside(remote: Remote, found: HostState) -> HostState:
    """The same state with what waits in its status; a host of an earlier Slipway does not say."""
    (answer,) = remote.perform(["updates"], seconds=SECONDS)
    found.status["updates"] = answer.result if answer.ok else {}
    return found


def waiting(found: HostState) -> list[str]:
    """Sentences, none where nothing waits."""
    waits, drained = found.status.get("updates") or {}, found.status.get("drained") or {}
    said = [f"{waits['security']} security updates"] if waits.get("security") else []
    said += ["a reboot"] if waits.get("reboot") else []
    lines = [f"{found.name}: {' and '.join(said)} wait: fab patch --plan"] if said else []
    if drained.get("why") == "patch":
        lines.append(
            f"{found.name}: a patch drained it at {drained.get('since')}; fab patch goes on from there"
        )
    return lines
