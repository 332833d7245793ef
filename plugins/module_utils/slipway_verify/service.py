"""The live release of an app host, and the edge as a client sees it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any

from ansible.module_utils.slipway_verify.running import run

PROGRAM = "/usr/local/sbin/slipway"
RUNBOOK = "docs/runbooks/host-does-not-serve.md"


def release(app: str) -> tuple[list[str], str | None]:
    """Complaints about what is live of a service, and its id."""
    answer = run(PROGRAM, f"--app={app}", "status", "--json")
    try:
        said = json.loads(answer.stdout)["result"]
        live, processes = said["live"], said.get("processes", [])
    except (ValueError, KeyError, TypeError):
        return [f"slipway does not answer ({answer.stderr.strip()}): run site.yml"], None
    if not live:
        return ["no release is live: run site.yml"], None
    name, found = live["release"], live["socket"]
    complaints = [_process(app, each) for each in processes if each["unit"]["active"] != "active"]
    if not found["ready"]:
        why = found["error"] or found["body"]
        complaints.insert(0, f"the release {name} is not ready ({why}): journalctl -u {app}@{name}")
    return complaints, name


def _process(app: str, process: dict[str, Any]) -> str:
    unit, state = f"{app}-process@{process['release']}:{process['name']}", process["unit"]
    return f"the process {process['name']} is {state['active']} ({state['sub']}): journalctl -u {unit}"


def connections(app: str, prefix: str) -> int:
    """How many connections two releases of this host may open at once, by settings whose names begin with prefix."""
    try:
        with open(f"/etc/{app}/{app}.env", encoding="utf-8") as stream:
            rows = dict(line.rstrip("\n").split("=", 1) for line in stream if "=" in line and line[0] != "#")
        pool = int(rows[f"{prefix}DATABASE_POOL_SIZE"]) + int(rows[f"{prefix}DATABASE_MAX_OVERFLOW"])
        return 2 * int(rows[f"{prefix}WORKERS"]) * pool
    except (FileNotFoundError, KeyError, ValueError):
        return 0


def edge(name: str, authority: str, port: int = 443) -> list[str]:
    """Complaints about what a client gets that checks the name and the authority (a file, or a folder of them)."""
    asked = name.replace("*", "www", 1)
    try:
        context = ssl.create_default_context(**_trust(authority))
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            context.wrap_socket(plain, server_hostname=asked) as secure,
        ):
            status = _status(secure, asked)
    except (OSError, http.client.HTTPException) as error:
        return [f"the edge does not answer for {name} over TLS ({error}): {RUNBOOK}"]
    # A service may say elsewhere that it is ready, and then has nothing here.
    answers = status.startswith(("HTTP/1.1 200 ", "HTTP/1.1 404 "))
    return [] if answers else [f"the edge answers {status} for {name}: {RUNBOOK}"]


def _trust(authority: str) -> dict[str, Any]:
    return {"cafile": authority} if authority.endswith(".pem") else {"capath": authority}


def _status(secure: ssl.SSLSocket, name: str) -> str:
    secure.sendall(f"GET /health/ready HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    response = http.client.HTTPResponse(secure)
    response.begin()
    return f"HTTP/1.1 {response.status} {response.reason}"
