"""From when on something is worth a warning, and from when on worth waking somebody; the inventory overrides any.

db_status_thresholds in the inventory maps a name of DEFAULTS to [warning, critical]; null is "never". A check of
MAY_NAME_A_ROLE may be named with a role, as longest-query/slipway_backup: it holds for the sessions of that role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fabfile.database import units
from fabfile.database.checks import planned
from fabfile.database.findings import Level
from fabfile.errors import RefusedError


@dataclass(frozen=True)
class Threshold:
    """At this number or beyond it. unit: %, s, B, d (days), or "" for a count. falling: less is worse."""

    warn: float | None
    critical: float | None
    unit: str = ""
    falling: bool = False

    def level(self, value: float) -> Level:
        """How bad the value is."""
        for limit, level in ((self.critical, Level.CRITICAL), (self.warn, Level.WARN)):
            if limit is not None and (value <= limit if self.falling else value >= limit):
                return level
        return Level.OK

    def said(self) -> str:
        """Such as "warning from 75 %, critical from 90 %"."""
        word = "at or below" if self.falling else "from"
        parts = [
            f"{name} {word} {shown(limit, self.unit)}"
            for name, limit in (("warning", self.warn), ("critical", self.critical))
            if limit is not None
        ]
        return ", ".join(parts) or "no threshold"


DEFAULTS = {
    "connections": Threshold(75, 90, "%"),
    "role-limits": Threshold(90, 100, "%"),
    "blocked": Threshold(30, 120, "s"),
    "longest-query": Threshold(60, 300, "s"),
    "oldest-transaction": Threshold(600, 3600, "s"),
    "idle-in-transaction": Threshold(60, 300, "s"),
    # Beyond what a day of many writes makes, and before vacuum against wraparound comes for nothing.
    "cleaning": Threshold(100_000_000, 400_000_000),
    "prepared-transactions": Threshold(30, 300, "s"),
    "replica-lag": Threshold(16 << 20, 128 << 20, "B"),
    "replay-delay": Threshold(10, 60, "s"),
    # A segment is archived when it is full, or after archive_timeout; at night nobody writes.
    "archive-replay": Threshold(3600, 24 * 3600, "s"),
    # Of what it may keep, by max_slot_wal_keep_size and by the disk: at half there is still something to save.
    "slot-room": Threshold(25, 50, "%"),
    # A standby that restarts is back by then.
    "slot-unread": Threshold(900, None, "s"),
    "archiving": Threshold(300, 900, "s"),
    "archive-backlog": Threshold(10, 60),
    "wal-size": Threshold(150, 300, "%"),
    "disk": Threshold(80, 90, "%"),
    "inodes": Threshold(80, 90, "%"),
    "transaction-ids": Threshold(500_000_000, 1_200_000_000),
    "multixacts": Threshold(500_000_000, 1_200_000_000),
    "dead-tuples": Threshold(20, None, "%"),
    "bloat": Threshold(256 << 20, 2 << 30, "B"),
    "cache-hit": Threshold(95, None, "%", falling=True),
    "sequences": Threshold(75, 90, "%"),
    "checkpoints": Threshold(50, None, "%"),
    # An hour, since an earlier look.
    "deadlocks": Threshold(10, None),
    "restart": Threshold(3600, None, "s", falling=True),
    "timeline": Threshold(3600, None, "s", falling=True),
    "certificate": Threshold(21, 7, "d", falling=True),
    "role-validity": Threshold(21, 7, "d", falling=True),
    # Distributions go on correcting a version for years; an inventory without one wants [90, 0].
    "end-of-support": Threshold(None, None, "d", falling=True),
    "backup": Threshold(26 * 3600, 50 * 3600, "s"),
    "restore-test": Threshold(8 * 86400, 31 * 86400, "s"),
    "physical-backup": Threshold(26 * 3600, 50 * 3600, "s"),
    "physical-restore-test": Threshold(8 * 86400, 31 * 86400, "s"),
    # A timer looks four times an hour.
    "physical-look": Threshold(2 * 3600, 26 * 3600, "s"),
    # One is made each minute, and heard of at the next look.
    "backup-copy": Threshold(3600, 6 * 3600, "s"),
    "clock": Threshold(2, 5, "s"),
}
OF_ROLES = ("longest-query", "oldest-transaction", "idle-in-transaction")
MAY_NAME_A_ROLE = (*OF_ROLES, "role-limits")
# A backup is one statement a table, in one transaction, beside a session that does nothing but hold its snapshot;
# migrations, builds of indexes and vacuums take their time as well.
DEFAULTS |= {
    f"{check}/{role}": Threshold(2 * 3600, 6 * 3600, "s")
    for check in OF_ROLES
    for role in (planned.BACKUP, planned.ROLE)
}
# Who looks and who ends sessions keep no customer waiting.
DEFAULTS |= {
    f"role-limits/{role}": Threshold(100, None, "%")
    for role in ("slipway_ops", "slipway_signal", planned.BACKUP, f"*{planned.MIGRATOR}")
}


def of(overrides: Mapping[str, Any]) -> dict[str, Threshold]:
    """The defaults with the inventory's own. Raises RefusedError for a name or a value that cannot be meant."""
    found = dict(DEFAULTS)
    for name, given in overrides.items():
        found[name] = _checked(name, given, _default(name))
    return found


def _default(name: Any) -> Threshold:
    check, _, role = str(name).partition("/")
    known = DEFAULTS.get(check if check in MAY_NAME_A_ROLE and role else name)
    if known is None:
        raise RefusedError(
            f"db_status_thresholds names {name!r}, which is none of {', '.join(sorted(DEFAULTS))}; another role "
            f"may follow {', '.join(MAY_NAME_A_ROLE)}, after a slash. Nothing was read."
        )
    return known


def _checked(name: str, given: Any, default: Threshold) -> Threshold:
    numbers = isinstance(given, list | tuple) and len(given) == 2 and all(map(_is_limit, given))
    if numbers:
        warn, critical = given
        ordered = (
            warn is None or critical is None or (critical <= warn if default.falling else warn <= critical)
        )
        if ordered:
            return Threshold(warn, critical, default.unit, default.falling)
    raise RefusedError(
        f"db_status_thresholds.{name} is {given!r}; it has to be [warning, critical], two numbers or null, the warning "
        "before the critical. Nothing was read."
    )


def _is_limit(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0)


def shown(value: float, unit: str) -> str:
    """The number with its unit, as a sentence has it."""
    match unit:
        case "B":
            return units.size(value)
        case "s":
            return units.duration(value)
        case "d":
            return f"{value:.0f} days"
        case "%":
            return f"{value:.4g} %"
    return units.count(value)
