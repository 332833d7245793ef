"""The commands of a host's slipway that a rollout is made of."""

from __future__ import annotations

from collections.abc import Sequence

from fabfile.hosts.environment import Public
from fabfile.hosts.policies import Policy
from fabfile.turn.lease import Lease

# Longer than what each command may take by itself.
GRACE_SECONDS = 30.0
# What a switch needs beside the time that a further process may take to end: the new one starts, and is looked at.
PROCESS_SECONDS = 10.0
# A gate that fails ends with the stop of its instance; one that does not listen is killed after TimeoutStopSec.
STOP_SECONDS = 40.0
# A switch that got the host's lock when nobody waits for it any more would come after the way back.
SWITCH_LOCK_SECONDS = 7.0
# What switch expects of a host that serves nothing.
NOTHING = "none"


def proving(
    release: str, seconds: float, public: Public, lease: Lease, before: Sequence[Sequence[str]]
) -> list[list[str]]:
    """What starts a release beside the live one and lets it prove itself. before: commands that go first."""
    gate = ["gate", release, f"--timeout={seconds:g}", *_as_customers_ask(public)]
    return [[*command, *lease.words] for command in [*before, ["start", release], gate]]


def switching(release: str, expected: str, public: Public, lease: Lease) -> list[list[str]]:
    """What moves the traffic of a host on which `expected` is live, and looks after it."""
    words = [*lease.fenced, f"--wait={SWITCH_LOCK_SECONDS:g}"]
    return [
        ["switch", release, f"--expect={expected}", *words],
        ["verify", release, *_as_customers_ask(public), *words],
    ]


def moving(policy: Policy) -> float:
    """Seconds that a switch may take: it ends with the jobs at hand of the release before."""
    return max(GRACE_SECONDS, policy.process_stop + PROCESS_SECONDS)


def restarting(release: str, seconds: float, public: Public) -> list[str]:
    """What starts the live release anew on a host that others answer for meanwhile."""
    return ["restart", release, f"--timeout={seconds:g}", *_as_customers_ask(public)]


def baking(release: str, seconds: float, max_errors: float, public: Public) -> list[str]:
    """What watches a release that has the traffic. max_errors: percent of 5xx."""
    # By the name alone: what is asked for, customers say.
    name = _as_customers_ask(public)[:1]
    return ["bake", release, f"--seconds={seconds:g}", f"--max-errors={max_errors:g}", *name]


def _as_customers_ask(public: Public) -> list[str]:
    told = public.path and "*" not in public.name
    return [f"--public={public.name}", f"--path={public.path}"] if told else []
