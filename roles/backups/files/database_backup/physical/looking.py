"""What pgBackRest does not tell by itself: gaps in the WAL, damaged pages in a backup, files that changed since."""

from __future__ import annotations

import json
import re
from typing import Any

from database_backup import files
from database_backup.errors import BackupError, FailedError
from database_backup.physical import chains, continuity, seals, state, tool
from database_backup.physical.settings import Settings
from database_backup.server import Session

STATUS = re.compile(r"^ {0,8}status: (?P<status>\w{1,20})", re.MULTILINE)
WRONG_FILE = re.compile(r"(?:invalid|missing|unable|unexpected)[^\n']{0,100}'(?P<path>[^'\n]{1,500})'")
SHOWN = 5


def look(settings: Settings) -> dict[str, Any]:
    """Chains, gaps and damage, written down for db-status. Raises what keeps it from being known."""
    try:
        found = _seen(settings)
    except BackupError as failure:
        state.update(settings, state.LOOK, at=files.utc_now(), ok=False, problem=str(failure))
        raise
    noted = state.update(settings, state.LOOK, at=files.utc_now(), ok=True, problem="", **found)
    state.mirror(settings)
    return noted


def _seen(settings: Settings) -> dict[str, Any]:
    about = tool.kept(settings)
    backups = chains.of(about)
    about_it = {"system": tool.system(about), "version": ".".join(map(str, tool.version(settings)))}
    if state.remembered(settings, state.IDENTITY) != about_it:
        state.update(settings, state.IDENTITY, **about_it)
    last, size = _of_the_server(settings)
    kept = continuity.segments(tool.files(settings, f"archive/{settings.stanza}"))
    holes = continuity.gaps(kept, backups, last, size)
    return {
        "backups": [each.record for each in backups],
        "damaged": [each.label for each in backups if each.damaged],
        "gaps": [{**each.__dict__, "said": continuity.said(each)} for each in holes],
        "segments": len(kept),
        "newest_segment": max(kept, default=""),
        "bytes": sum(each.kept for each in backups if each.kind == "full"),
        "copy": {**files.read(settings.receipt), "wanted_by": settings.copied_by},
        "points": list(state.remembered(settings, state.POINTS).values()),
    }


def _of_the_server(settings: Settings) -> tuple[str, int]:
    """The last segment that it took for kept, and a segment's size; what is there is judged also without it."""
    try:
        with Session(settings.server(), "postgres", "look") as session:
            return state.last_archived(session), int(session.rows(state.SEGMENT)[0])
    except FailedError:
        return "", continuity.SEGMENT_BYTES


def verify(settings: Settings) -> dict[str, Any]:
    """Reads every file of the backups, and of the WAL where pgBackRest has `verify` (2.39).

    Its exit status says nothing, so its words are read.
    """
    backups = chains.of(tool.kept(settings))
    named = seals.broken(settings, [each.label for each in backups])
    detail = "every file of the backups is what it was"
    if not named and tool.version(settings) >= tool.VERIFIES:
        named, detail = _by_the_tool(settings)
    elif named:
        detail = _named(named)
    found = {"at": files.utc_now(), "ok": not named, "detail": detail, "files": named[:SHOWN]}
    state.update(settings, state.LOOK, verify=found)
    return found


def _by_the_tool(settings: Settings) -> tuple[list[str], str]:
    """(what is wrong, a sentence); nothing is wrong where the list is empty."""
    said = tool.ask(settings, "verify", "--output=text", level="info")
    status = STATUS.search(said.out)
    # Where all is well, 2.45 says nothing and later ones say so.
    ok = said.status == 0 and (not said.out.strip() or (status is not None and status["status"] == "ok"))
    named = sorted({found["path"] for found in WRONG_FILE.finditer(said.wrong)})
    if ok:
        return [], "every file of the backups and of the WAL is what it was"
    if named:
        return named, _named(named)
    why = said.reason if said.status else f"verify says {json.dumps(' '.join(said.out.split())[:300])}"
    return ["unknown"], why


def _named(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"not what they were: {', '.join(names[:SHOWN])}{more}"
