"""`slipway lease`: one deploy at a time in an environment, kept on its first app host.

A lease is renewed by its holder's heartbeat; when that stays away it expires, and the next deploy takes over with a
higher fence. Expiry is counted on a clock that nobody sets; over a reboot, on the clock of the wall.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from slipway.clock import utc
from slipway.errors import FenceStaleError, LeaseHeldError
from slipway.files import remove, write_atomically
from slipway.host import Host
from slipway.turns import fence
from slipway.turns.session import Report, Session

KEPT = ("fence", "holder", "process", "command", "ticket", "since", "renewed", "expires", "ttl")
# machine: of the controller, as it names itself. freeze: why everybody is kept out. An older lease has neither.
SHOWN = (*KEPT, "machine", "freeze")


def current(host: Host) -> dict[str, Any] | None:
    """The lease as `status` shows it, with state held, expired or broken, and the seconds since it was renewed
    (`idle`); None when there is none."""
    kept = _read(host)
    if kept is None:
        return None
    state = "broken" if kept.get("broken") else "expired" if _expired(kept) else "held"
    return {**_shown(kept), "state": state, "idle": _idle(kept)}


def acquire(session: Session, who: dict[str, str | None], seconds: float, above: int = 0) -> Report:
    """who: holder, process, command, ticket, nonce, machine, freeze; no two processes have the same nonce.

    above: a fence that other hosts have seen; this one becomes higher. The same process asking again, because the
    answer got lost, is given the lease it has, and a higher one when that is too low.
    """
    with fence.guarded(session.host):
        kept = _read(session.host)
        own = kept is not None and _same(kept, who)
        if kept is not None and own and kept["fence"] == fence.read(session.host) > above:
            renewed = _keep(session.host, {**kept, "ttl": seconds})
            return Report(
                False, {**_shown(renewed), "taken_over": None}, f"The lease is already {who['holder']}'s."
            )
        if kept is not None and not own and not kept.get("broken") and not _expired(kept):
            raise _held(kept)
        number = max(fence.read(session.host), above) + 1
        session.journal.fence = number
        taken_over = _shown(kept) if kept and not own else None
        told = {name: value for name, value in who.items() if name != "nonce"}
        with session.journal.step("lease.acquire", **told, number=number, taken_over=taken_over):
            # The fence first: a lease whose fence is not yet raised would let its predecessor go on.
            fence.raise_to(session.host, number)
            lease = {**who, "fence": number, "since": utc(time.time()), "ttl": seconds}
            kept = _keep(session.host, lease)
    said = f" taken over from {taken_over['holder']}" if taken_over else ""
    return Report(True, {**_shown(kept), "taken_over": taken_over}, f"Lease with fence {number}{said}.")


def renew(session: Session, number: int) -> Report:
    """The heartbeat. It is not journaled: it says nothing but that the holder lives."""
    with fence.guarded(session.host):
        kept = _own(session.host, number)
        kept = _keep(session.host, kept)
    return Report(True, _shown(kept), f"The lease with fence {number} is good until {kept['expires']}.")


def release(session: Session, number: int) -> Report:
    with fence.guarded(session.host):
        seen = fence.read(session.host)
        if number < seen:
            raise fence.stale(number, seen)
        if _read(session.host) is None:
            return Report(False, {"fence": number}, "There is no lease; nothing was changed.")
        _own(session.host, number)
        with session.journal.step("lease.release", number=number):
            remove(session.host.lease)
    return Report(True, {"fence": number}, f"The lease with fence {number} is given back.")


def break_(session: Session, number: int) -> Report:
    """Takes the lease with this fence from whoever holds it; from now on this host refuses that deploy's commands.

    Another lease is left alone: since the caller looked, somebody else may have got it.
    """
    with fence.guarded(session.host):
        kept = _read(session.host)
        if kept is None or kept.get("broken"):
            return Report(
                False, {"broken": None, "fence": fence.read(session.host)}, "There is no lease to break."
            )
        if kept["fence"] != number:
            raise LeaseHeldError(
                "lease-differs",
                f"The lease here has fence {kept['fence']} and is {kept['holder']}'s (`{kept['command']}`, since "
                f"{kept['since']}), not the one with fence {number}.",
                f"To end this one: slipway lease break --fence {kept['fence']}",
                **_details(kept),
            )
        number = max(fence.read(session.host), kept["fence"]) + 1
        with session.journal.step("lease.break", broken=_shown(kept), number=number):
            fence.raise_to(session.host, number)
            _write(session.host.lease, {**kept, "broken": utc(time.time())})
    return Report(
        True, {"broken": _shown(kept), "fence": number}, f"The lease of {kept['holder']} is broken."
    )


def _own(host: Host, number: int) -> dict[str, Any]:
    """The lease, when it is the one with this fence: also an expired one that nobody took over."""
    kept, seen = _read(host), fence.read(host)
    if number < seen:
        raise fence.stale(number, seen)
    if kept is None or kept["fence"] != number or kept.get("broken"):
        raise FenceStaleError(
            "lease-lost",
            f"There is no lease with fence {number} on this host: it was given back, broken or never taken.",
            "`slipway status` shows the lease; `slipway journal` who did what.",
            fence=number,
        )
    return kept


def _held(kept: dict[str, Any]) -> LeaseHeldError:
    ticket = f" for {kept['ticket']}" if kept.get("ticket") else ""
    if kept.get("freeze"):
        said = f"{kept['holder']} keeps everybody out since {kept['since']}: {kept['freeze']}."
    else:
        said = (
            f"{kept['holder']} is deploying{ticket} since {kept['since']}: `{kept['command']}`, process "
            f"{kept['process']}, last heard of {kept['renewed']}."
        )
    return LeaseHeldError(
        "lease-held",
        said,
        f"Wait for it. If that process is dead, the lease expires {kept['expires']} by itself; "
        f"if it must not go on, take its lease: slipway lease break --fence {kept['fence']}",
        **_details(kept),
    )


def _same(kept: dict[str, Any], who: dict[str, str | None]) -> bool:
    """Whether it was given to this very process; without a nonce nobody can tell."""
    return not kept.get("broken") and who.get("nonce") is not None and kept.get("nonce") == who["nonce"]


def _details(kept: dict[str, Any]) -> dict[str, Any]:
    return {**_shown(kept), "idle": _idle(kept)}


def _shown(kept: dict[str, Any]) -> dict[str, Any]:
    return {name: kept.get(name) for name in SHOWN}


def _keep(host: Host, lease: dict[str, Any]) -> dict[str, Any]:
    """Writes the lease, renewed now."""
    now = time.time()
    kept = {
        **lease,
        "renewed": utc(now),
        "expires": utc(now + lease["ttl"]),
        "boot": _boot(),
        "wall": now + lease["ttl"],
        "uptime": _uptime() + lease["ttl"],
    }
    _write(host.lease, kept)
    return kept


def _expired(kept: dict[str, Any]) -> bool:
    if kept["boot"] == _boot():
        return bool(_uptime() >= kept["uptime"])
    return bool(time.time() >= kept["wall"])


def _idle(kept: dict[str, Any]) -> float:
    """Seconds since it was renewed."""
    ends, now = (kept["uptime"], _uptime()) if kept["boot"] == _boot() else (kept["wall"], time.time())
    return round(max(0.0, now - (ends - kept["ttl"])), 1)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _write(path: Path, lease: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(lease, sort_keys=True).encode() + b"\n", 0o640)


def _read(host: Host) -> dict[str, Any] | None:
    """A lease that a hand made unreadable is none: the fence still keeps its holder out."""
    try:
        kept = json.loads(host.lease.read_bytes())
        return kept if isinstance(kept, dict) and {*KEPT, "boot", "wall", "uptime"} <= kept.keys() else None
    except (FileNotFoundError, ValueError):
        return None
