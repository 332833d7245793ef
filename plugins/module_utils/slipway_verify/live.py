"""How the live release runs on an app host, and what it has around it: workers, logs, a cache."""

from __future__ import annotations

import glob
import json
import os
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from .access import settings
from .running import run

PROPERTIES = "MainPID,TimeoutStopUSec"
LIBRARIES = ("uvloop", "httptools")
LINES, TAIL = 20, 1 << 16
REDIS, SENTINEL = 6379, 26379


def facts(app: str, prefix: str, status: dict[str, Any] | None) -> dict[str, Any]:
    """status: what slipway said of this host, None when it said nothing."""
    said = status or {}
    live = (said.get("live") or {}).get("release")
    given = settings(app)
    return {
        "unit": _unit(f"{app}@{live}.service") if live else {},
        "numbers": {name[len(prefix) :]: int(value) for name, value in given.items() if value.isdigit()},
        "back": [
            row["release"] for row in said.get("releases") or [] if row["state"] in ("verified", "warm")
        ],
        "record": said.get("last_record"),
        "log": log(f"/var/log/{app}/{app}.log"),
        "errors": sorted(
            name for name in (*given, *_credentials(app)) if name.lower().endswith("sentry_dsn")
        ),
        "cache": cache(given),
    }


def _credentials(app: str) -> list[str]:
    folder = f"/etc/{app}/credentials"
    return os.listdir(folder) if os.path.isdir(folder) else []


def _unit(name: str) -> dict[str, Any]:
    shown = run("systemctl", "show", f"--property={PROPERTIES}", "--", name).stdout
    said = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    workers = processes(int(said.get("MainPID") or 0))
    return {
        "stop": said.get("TimeoutStopUSec", ""),
        "workers": len(workers),
        "libraries": [name for name in LIBRARIES if workers and all(_loaded(pid, name) for pid in workers)],
    }


def processes(main: int) -> list[int]:
    """Those that answer requests: the children of a main process that has some, else it alone."""
    try:
        with open(f"/proc/{main}/task/{main}/children", encoding="ascii") as stream:
            children = [int(word) for word in stream.read().split()]
    except OSError:
        return []
    return [pid for pid in children if "resource_tracker" not in _text(f"/proc/{pid}/cmdline")] or [main]


def _loaded(pid: int, library: str) -> bool:
    return f"/{library}/" in _text(f"/proc/{pid}/maps")


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def log(path: str) -> dict[str, Any]:
    """Its last lines: how many, and how many of them are JSON objects; and its size in bytes."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - TAIL))
            lines = stream.read().decode("utf-8", "replace").splitlines()[-LINES:]
    except OSError:
        return {"lines": 0, "structured": 0, "size": 0}
    return {"lines": len(lines), "structured": sum(map(_is_object, lines)), "size": size}


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def rotation(app: str, now: float) -> dict[str, Any]:
    """Whether the service's log has its rule and logrotate its timer, and the hours since it ran; None for never."""
    try:
        hours = (now - os.stat("/var/lib/logrotate/status").st_mtime) / 3600
    except OSError:
        hours = None
    logs = [path for path in glob.glob(f"/var/log/{app}/*.log") if os.path.isfile(path)]
    return {
        "rule": os.path.exists(f"/etc/logrotate.d/{app}"),
        "timer": run("systemctl", "is-active", "logrotate.timer").stdout.strip() == "active",
        "hours": hours,
        "largest": max(map(os.path.getsize, logs), default=0),
    }


def cache(given: dict[str, str]) -> dict[str, bool]:
    """Whether settings have an address of Redis, whether it answers there, and a sentinel beside it."""
    names = {name.partition("REDIS_")[2]: value for name, value in given.items() if "REDIS_" in name}
    address = names.get("URL", "")
    parts = urlsplit(address)
    where: Any = parts.path if parts.scheme == "unix" else (parts.hostname or "", parts.port or REDIS)
    pair = [names.get("CA", ""), names.get("CERTIFICATE", "")] if parts.scheme == "rediss" else None
    sentinel = bool(parts.hostname) and _pong((parts.hostname, SENTINEL), None)
    return {"named": bool(address), "answers": bool(address) and _pong(where, pair), "sentinel": sentinel}


def cache_complaints(app: str, prefix: str, host: str) -> list[str]:
    """A sentence when the Redis that the inventory has does not answer; host is where it is."""
    given = settings(app)
    if cache(given)["answers"]:
        return []
    address = given.get(f"{prefix}REDIS_URL", "")
    return [
        f"nobody answers at the address of Redis ({address}), and every answer is made anew: "
        f"journalctl -u redis-server on {host}"
    ]


def _pong(where: Any, pair: list[str] | None) -> bool:
    """It may ask for a password first, and lives all the same. pair: authority and certificate, for TLS."""
    try:
        with (
            socket.socket(socket.AF_UNIX)
            if isinstance(where, str)
            else socket.create_connection(where, 1) as plain
        ):
            plain.settimeout(1)
            if isinstance(where, str):
                plain.connect(where)
            with _secured(plain, pair, where[0]) if pair is not None else plain as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64)[:5] in (b"+PONG", b"-NOAU")
    except OSError:
        return False


def _secured(plain: socket.socket, pair: list[str], name: str) -> socket.socket:
    authority, certificate = pair
    context = ssl.create_default_context(cafile=authority or None)
    if certificate:
        # The key lies beside it, for root.
        context.load_cert_chain(certificate, f"{os.path.splitext(certificate)[0]}.key")
    return context.wrap_socket(plain, server_hostname=name)
