"""The arguments that name a cluster, shared by the modules."""

from __future__ import annotations

import re
from typing import Any

from .connection import Server
from .quoting import RefusedError

OLDEST_VERSION = 14
CLUSTER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")

CONNECTION_SPEC: dict[str, dict[str, Any]] = {
    "version": {"type": "str", "required": True},
    "cluster": {"type": "str", "default": "main"},
    "port": {"type": "int", "default": 5432},
    "socket_directory": {"type": "path", "default": "/var/run/postgresql"},
    "admin_os_user": {"type": "str", "default": "postgres"},
    "admin_role": {"type": "str", "default": "postgres"},
    "psql": {"type": "path"},
    "lock_timeout_seconds": {"type": "int", "default": 5},
}


def server_of(params: dict[str, Any]) -> Server:
    """The cluster that CONNECTION_SPEC's arguments name."""
    version, directory = params["version"], params["socket_directory"]
    sentences = []
    if not version.isdecimal() or int(version) < OLDEST_VERSION:
        sentences.append(f"version is a major version from {OLDEST_VERSION} on, such as 14, not {version!r}.")
    if not CLUSTER_NAME.match(params["cluster"]):
        sentences.append(
            f"cluster {params['cluster']!r} is not a cluster's name: letters, digits, _ . and - only."
        )
    if not directory.startswith("/") or "," in directory:
        sentences.append(f"socket_directory {directory!r} is not one absolute path.")
    if not 0 < params["port"] < 65536:
        sentences.append(f"port {params['port']} is not between 1 and 65535.")
    if params["lock_timeout_seconds"] < 1:
        sentences.append("lock_timeout_seconds is 1 or more: waiting for ever would stall a live database.")
    if sentences:
        raise RefusedError(*sentences)
    return Server(
        version=version,
        cluster=params["cluster"],
        port=params["port"],
        socket_directory=directory,
        os_user=params["admin_os_user"],
        role=params["admin_role"],
        psql=params["psql"],
        lock_timeout_seconds=params["lock_timeout_seconds"],
    )
