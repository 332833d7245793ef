"""How a rollout is done in an environment: its times, its limits, and the connections that it may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fabfile.hosts.variables import Variables


@dataclass(frozen=True)
class Budget:
    """Connections: what one release may hold on one host, and what the server offers to all of them."""

    workers: int
    pool_size: int
    max_overflow: int
    max_connections: int

    @property
    def of_one_release(self) -> int:
        return self.workers * (self.pool_size + self.max_overflow)


@dataclass(frozen=True)
class Policy:
    """gate, bake, warm: seconds. max_errors: percent of 5xx while baking. keep: releases kept on a host.

    migrate: seconds that a migration is watched; it goes on by itself after them. backup_hours: how old the newest
    backup may be when a deploy migrates; 0 is any age. process_stop: seconds that a further process may take to end.
    """

    gate: float
    bake: float
    warm: float
    max_errors: float
    keep: int
    migrate: float = 3600.0
    backup_hours: float = 0.0
    process_stop: float = 20.0


def budget(variables: Variables, host: str) -> Budget:
    return Budget(
        workers=int(variables.of(host, "app_workers", 2)),
        pool_size=int(variables.of(host, "app_database_pool_size", 5)),
        max_overflow=int(variables.of(host, "app_database_max_overflow", 5)),
        max_connections=int(variables.of(host, "app_database_max_connections", 100)),
    )


def policy(variables: Variables, host: str) -> Policy:
    return Policy(
        gate=float(variables.of(host, "deploy_gate_seconds")),
        bake=float(variables.of(host, "deploy_bake_seconds")),
        warm=float(variables.of(host, "deploy_warm_seconds")),
        max_errors=float(variables.of(host, "deploy_max_errors_percent")),
        keep=int(variables.of(host, "deploy_keep_releases")),
        migrate=float(variables.of(host, "deploy_migrate_seconds", 3600)),
        backup_hours=float(variables.of(host, "deploy_backup_hours", 0)),
        process_stop=float(variables.of(host, "app_process_stop_timeout", 20)),
    )
