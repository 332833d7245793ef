"""What systemd finds of the units that Slipway states or confines: 0 is closed, 10 is open."""

from __future__ import annotations

import re

from tests.scores.table import Score

# One that a timer starts is not in the list while it does nothing.
COMMAND = """systemd-analyze security --no-pager
for unit in $(systemctl list-unit-files --no-legend 'slipway-*.service' | cut -d' ' -f1 | grep --invert-match @); do
  systemd-analyze security --no-pager "$unit" | tail -n 1
done"""
ROW = re.compile(r"(?m)^\W*(?:Overall exposure level for )?(\S+\.service):?\s+([0-9]+\.[0-9])\s+[A-Z]+")
# A release's or a run's name is another each time.
INSTANCE = re.compile(r"^([a-z_-]+)@(?:\d{8}T\d{6}Z-[0-9a-f]+)(:\w+)?\.service$")
# The most that is good: the service answers by a socket alone; daemons open ports, logs and users of their own.
SERVICE, OURS, DAEMON = 0.5, 3.0, 5.0
TUNNEL = "slipway-relp-tunnel.service"
DAEMONS = re.compile(
    r"(nginx|rsyslog|unattended-upgrades|redis-server|prometheus[a-z-]*|grafana-server|postgresql@.*)\.service"
)


def scores(said: str, app: str) -> list[Score]:
    """The scores in what COMMAND wrote; app: the service's name."""
    found: dict[str, float] = {}
    for unit, exposure in ROW.findall(said):
        name = INSTANCE.sub(r"\1@.service", unit)
        found[name] = max(float(exposure), found.get(name, 0.0))
    rows = []
    for name, exposure in sorted(found.items()):
        if (target := target_of(name, app)) is not None:
            rows.append(Score(f"systemd: {name}", exposure, target, about="systemd-analyze security"))
    return rows


def target_of(unit: str, app: str) -> float | None:
    """The most that a unit may be exposed; None for one that is none of ours."""
    if unit.startswith((f"{app}@", f"{app}-process@", f"{app}-task@", f"{app}-migrate@", f"{app}-backfill")):
        return SERVICE
    if unit.startswith("slipway-") and (f"-{app}" in unit or unit == TUNNEL):
        return OURS
    return DAEMON if DAEMONS.fullmatch(unit) else None
