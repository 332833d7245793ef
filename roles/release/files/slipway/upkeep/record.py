"""`slipway record`: what a controller did, in the host's own journal beside what the host did."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from slipway.errors import RefusedError
from slipway.turns.session import Report, Session

KIND = re.compile(r"[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)+")
KIND_LENGTH = 64
# Where there is monitoring, a rollout is told at once.
TELLING = "slipway-metrics-{}.service"
DETAILS_BYTES = 64 * 1024
DETAILS_DEPTH = 16


def record(session: Session, kind: str, release: str | None, details: str) -> Report:
    """kind: words with dots between, such as deploy.begin. details: a JSON object."""
    facts = parse(details)
    if len(kind) > KIND_LENGTH or not KIND.fullmatch(kind):
        raise RefusedError("usage", f"{kind[:80]!r} is not a kind of record; one looks like deploy.begin.")
    session.journal.note(kind, release, facts)
    telling = TELLING.format(session.host.app)
    if kind.endswith(".end") and session.host.path(f"/etc/systemd/system/{telling}").exists():
        session.systemd.begin_unwatched(telling)
    return Report(True, {"kind": kind, "release": release}, f"Recorded {kind}.")


def parse(details: str) -> dict[str, Any]:
    """The object in details, checked: what the journal holds is read by machines for years."""
    size = len(details.encode("utf-8", "surrogateescape"))
    if size > DETAILS_BYTES:
        raise RefusedError("details", f"--details has {size} bytes; a record's may have {DETAILS_BYTES}.")
    try:
        facts = json.loads(details, parse_constant=_no_number)
    except (ValueError, RecursionError) as failure:
        raise RefusedError("details", f"--details is not JSON: {failure}.") from None
    if not isinstance(facts, dict) or _depth(facts) > DETAILS_DEPTH:
        raise RefusedError("details", f"--details is not a JSON object at most {DETAILS_DEPTH} deep.")
    return facts


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _depth(value: Any, level: int = 0) -> int:
    """How deep lists and objects stand in each other; given up beyond what is allowed."""
    if level > DETAILS_DEPTH or not isinstance(value, (dict, list)):
        return level
    inner = value.values() if isinstance(value, dict) else value
    return max((_depth(part, level + 1) for part in inner), default=level + 1)
