"""The list, as two of the articles have it, and what a host needs besides: each group a module."""

from __future__ import annotations

from fabfile.upkeep.doctor.items import (
    availability,
    hosts,
    maintenance,
    monitoring,
    performance,
    production,
    security,
)
from fabfile.upkeep.doctor.judging import Item

GROUPS: dict[str, tuple[Item, ...]] = {
    "Security": security.ITEMS,
    "Performance": performance.ITEMS,
    "Monitoring": monitoring.ITEMS,
    "High availability": availability.ITEMS,
    "Maintenance": maintenance.ITEMS,
    "Production, not development": production.ITEMS,
    "Hosts": hosts.ITEMS,
}
