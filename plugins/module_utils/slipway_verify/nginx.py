"""What nginx runs with: some directives of the service's own files, as nginx itself reads them."""

from __future__ import annotations

import re
from typing import Any

from .running import run

FILE = re.compile(r"# configuration file (\S+):")
NAMES = (
    "client_max_body_size|limit_req|limit_conn|gzip|gzip_types|keepalive_timeout|proxy_next_upstream|server"
)
DIRECTIVE = re.compile(rf"\s*({NAMES})\s+([^;{{]+);")


def facts(app: str) -> dict[str, Any]:
    """{directive: its values in the order of the files}, or {problem}."""
    answer = run("nginx", "-T", patience=10)
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines()
        return {"problem": lines[-1] if lines else f"nginx -T ended with status {answer.returncode}"}
    return directives(answer.stdout, app)


def directives(text: str, app: str) -> dict[str, Any]:
    """The same out of what nginx -T prints."""
    ours = re.compile(rf"/etc/nginx/(nginx\.conf|conf\.d/{re.escape(app)}(-private)?\.conf|snippets/.+)")
    found: dict[str, Any] = {}
    counts = False
    for line in text.splitlines():
        if begins := FILE.match(line):
            counts = bool(ours.fullmatch(begins[1]))
        elif counts and (said := DIRECTIVE.match(line)):
            found.setdefault(said[1], []).append(said[2].strip())
    return found
