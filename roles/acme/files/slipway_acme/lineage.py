"""What certbot keeps of the authority's answers, and whether the authority has to be asked again."""

from __future__ import annotations

import re
from pathlib import Path

from slipway_acme import pair
from slipway_acme.errors import UnfitError
from slipway_acme.settings import Settings

FOLDER = Path("/etc/letsencrypt")
SERVER = re.compile(r"^server = (\S+)$", re.MULTILINE)


def files(settings: Settings) -> tuple[Path, Path]:
    """Chain and key. A lineage is called as the service, whatever its names are and in which order."""
    live = FOLDER / "live" / settings.app
    return live / "fullchain.pem", live / "privkey.pem"


def fit(settings: Settings) -> bool:
    """Whether what is kept can be served."""
    try:
        pair.judged(*files(settings), settings.names)
    except UnfitError:
        return False
    return True


def why_ask(settings: Settings, now: float) -> str:
    """Why the authority has to be asked, "" where what is kept will do. now: seconds since 1970."""
    chain, key = files(settings)
    if not chain.exists():
        return "there is none yet"
    server = _server(settings)
    if server != settings.directory:
        return f"the one there is comes from {server or 'nobody knows where'}"
    try:
        kept = pair.judged(chain, key, settings.names)
    except UnfitError as problem:
        return str(problem)
    if kept.names != frozenset(settings.names):
        return f"the one there is also says {', '.join(sorted(kept.names - frozenset(settings.names)))}"
    return "a third of its time is left" if now >= kept.due else ""


def _server(settings: Settings) -> str:
    try:
        found = SERVER.search((FOLDER / "renewal" / f"{settings.app}.conf").read_text(encoding="utf-8"))
    except OSError:
        return ""
    return found[1] if found else ""
