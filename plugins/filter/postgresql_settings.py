"""Filters for the postgresql role: settings from a host's size, quoting for .conf files, the connection budget."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from ansible.errors import AnsibleFilterError

SMALLEST_MEMORY_MB = 256

# Two boots of one host differ by a few MB; memory counts in steps of this part of the next power of two.
STEPS = 8

PROFILES = {
    "web": {"min_wal_size": 1024, "max_wal_size": 4096},
    "oltp": {"min_wal_size": 2048, "max_wal_size": 8192},
}

# Storage: (random_page_cost, effective_io_concurrency).
STORAGE = {"hdd": (4.0, 2), "ssd": (1.1, 200), "san": (1.1, 300), "nvme": (1.1, 1000)}

MAINTENANCE_MB_AT_MOST = 2048
WAL_BUFFERS_MB_AT_MOST = 16
WORK_MEM_MB_AT_LEAST = 4
MEMORY_USERS_A_QUERY = 3
DEFAULT_WORKER_PROCESSES = 8
CORES_FOR_PARALLEL_QUERIES = 4
WORKERS_A_GATHER_AT_MOST = 4


def number(name: str, value: Any, at_least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise AnsibleFilterError(f"{name} must be a whole number of {at_least} or more, not {value!r}.")
    return value


def choice(name: str, value: Any, choices: dict[str, Any]) -> Any:
    if not isinstance(value, str) or value not in choices:
        raise AnsibleFilterError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    return choices[value]


def size(megabytes: int) -> str:
    """`megabytes` in PostgreSQL's units: 2048 is `2GB`, 1792 is `1792MB`."""
    return f"{megabytes // 1024}GB" if megabytes % 1024 == 0 else f"{megabytes}MB"


def steady(memory_mb: int) -> int:
    """`memory_mb` rounded down to an eighth of the next power of two."""
    step = (1 << (memory_mb - 1).bit_length()) // STEPS
    return memory_mb // step * step


def postgresql_settings(
    memory_mb: int,
    cores: int,
    max_connections: int = 100,
    memory_share: float = 0.5,
    storage: str = "ssd",
    profile: str = "web",
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Settings for a host of `memory_mb` MB and `cores` cores, sizes as text like `256MB`.

    `memory_share` is the part of the memory that PostgreSQL may count on: 0.5 beside the app, 1.0 alone.
    `overrides` are taken as they are, known names or not.
    """
    number("memory_mb", memory_mb, SMALLEST_MEMORY_MB)
    number("cores", cores)
    number("max_connections", max_connections)
    if (
        isinstance(memory_share, bool)
        or not isinstance(memory_share, (int, float))
        or not 0 < memory_share <= 1
    ):
        raise AnsibleFilterError(f"memory_share must be above 0 and at most 1, not {memory_share!r}.")
    if overrides is not None and not isinstance(overrides, dict):
        raise AnsibleFilterError(f"overrides must be a dictionary of settings, not {overrides!r}.")
    wal = choice("profile", profile, PROFILES)
    random_page_cost, io_concurrency = choice("storage", storage, STORAGE)
    memory = int(steady(memory_mb) * memory_share)
    shared_buffers = memory // 4
    workers = cores if cores >= CORES_FOR_PARALLEL_QUERIES else DEFAULT_WORKER_PROCESSES
    work_mem = (memory - shared_buffers) // ((max_connections + workers) * MEMORY_USERS_A_QUERY)
    settings: dict[str, Any] = {
        "max_connections": max_connections,
        "shared_buffers": size(shared_buffers),
        "effective_cache_size": size(memory * 3 // 4),
        "maintenance_work_mem": size(min(memory // 16, MAINTENANCE_MB_AT_MOST)),
        "work_mem": size(max(work_mem, WORK_MEM_MB_AT_LEAST)),
        "huge_pages": "try",
        "wal_buffers": size(wal_buffers(shared_buffers)),
        "min_wal_size": size(wal["min_wal_size"]),
        "max_wal_size": size(wal["max_wal_size"]),
        "random_page_cost": random_page_cost,
        "effective_io_concurrency": io_concurrency,
    }
    if cores >= CORES_FOR_PARALLEL_QUERIES:
        a_gather = min(ceil(cores / 2), WORKERS_A_GATHER_AT_MOST)
        settings |= {
            "max_worker_processes": cores,
            "max_parallel_workers": cores,
            "max_parallel_workers_per_gather": a_gather,
            "max_parallel_maintenance_workers": a_gather,
        }
    return settings | (overrides or {})


def wal_buffers(shared_buffers_mb: int) -> int:
    """3 % of shared_buffers in MB, between 1 and 16; 14 and 15 become 16, a whole WAL segment."""
    buffers = shared_buffers_mb * 3 // 100
    return WAL_BUFFERS_MB_AT_MOST if buffers >= 14 else max(buffers, 1)


def postgresql_quote_conf(value: Any) -> str:
    """`value` as it stands in postgresql.conf: 5, 1.1, on, 'it''s'; a list becomes 'a, b'."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        value = ", ".join(str(element) for element in value)
    if not isinstance(value, str):
        raise AnsibleFilterError(
            f"A PostgreSQL setting is text, a number, a boolean or a list, not {value!r}."
        )
    if any(character in value for character in "\n\r\0"):
        raise AnsibleFilterError(f"A PostgreSQL setting is one line without NUL, not {value!r}.")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def connection_budget(
    app_hosts: int,
    workers: int,
    pool_size: int,
    max_overflow: int,
    max_connections: int,
    superuser_reserved: int = 3,
    admin_headroom: int = 10,
    live_releases: int = 2,
) -> dict[str, Any]:
    """{needed, available, per_release, fits, sentence}: connections that the app and its admins may open, and those
    there are; `per_release` is what one release on one host may hold of them."""
    number("app_hosts", app_hosts, 0)
    for name, value in (("workers", workers), ("pool_size", pool_size), ("live_releases", live_releases)):
        number(name, value)
    number("max_connections", max_connections)
    for name, value in (("max_overflow", max_overflow), ("admin_headroom", admin_headroom)):
        number(name, value, 0)
    number("superuser_reserved", superuser_reserved, 0)
    needed = app_hosts * live_releases * workers * (pool_size + max_overflow) + admin_headroom
    available = max_connections - superuser_reserved
    fits = needed <= available
    sentence = (
        f"{app_hosts} app hosts x {live_releases} live releases x {workers} workers x "
        f"({pool_size} pool + {max_overflow} overflow) + {admin_headroom} for admins need {needed} connections; "
        f"max_connections {max_connections} less {superuser_reserved} reserved for superusers leaves {available}"
    )
    advice = f": raise max_connections to {needed + superuser_reserved} or more, or use smaller pools or fewer workers."
    return {
        "needed": needed,
        "available": available,
        "per_release": max(0, available - admin_headroom) // max(1, app_hosts * live_releases),
        "fits": fits,
        "sentence": sentence + (f": {available - needed} to spare." if fits else advice),
    }


class FilterModule:
    """What Ansible loads from this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "postgresql_settings": postgresql_settings,
            "postgresql_quote_conf": postgresql_quote_conf,
            "connection_budget": connection_budget,
        }
