"""What an earlier slipway, which knew one service a host, left in /run: it becomes the service's own, by a rename."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from slipway.host import RELEASE_ID, Host
from slipway.traffic import drain


def take_over(host: Host) -> None:
    """Only what is this service's: its release is the warm one, its private port the one that is closed.

    A drained host is taken over once nginx looks for the new file; until then, it and nginx go by the old one.
    """
    above = host.runtime.parent
    release = _said(above / "warm.json").get("release")
    if isinstance(release, str) and RELEASE_ID.fullmatch(release) and host.release(release).is_dir():
        _move(above / "warm.json", host.warm)
    port = _said(above / "drained").get("port")
    if port is not None and port == drain.private_port(host):
        _move(above / "drained", host.drained)


def _move(old: Path, new: Path) -> None:
    new.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not new.exists():
        os.rename(old, new)


def _said(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
