"""How migrations went, out of the hosts' own journals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fabfile.database import texts

Records = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Run:
    """One migration that changed something or failed, as a host recorded it. began: UTC. seconds: of all of it.

    revisions: dicts with revision, seconds, tries, lock, on, and failed for the one that was given up.
    """

    host: str
    began: str
    release: str
    result: str
    seconds: float | None
    by: str
    ticket: str
    backup: str
    tries: int
    revisions: list[dict[str, Any]]
    blocked_by: list[dict[str, Any]]
    sentence: str


def runs(records: Records) -> list[Run]:
    """The migrations in the hosts' records that did something, the newest last; each once, as it was seen last."""
    found: dict[tuple[str, str], Run] = {}
    for host, entries in records.items():
        backups = {
            (each.get("fence"), each.get("release")): str((each.get("details") or {}).get("backup") or "")
            for each in entries
            if each["step"] == "migrate.begin"
        }
        begun = ""
        for entry in entries:
            if entry["step"] != "migrate" or entry["phase"] not in ("begin", "end"):
                continue
            details = entry.get("details") or {}
            # An end of before `began` was written belongs to the begin that it follows.
            began = str(details.get("began") or (begun if entry["phase"] == "end" else "") or entry["time"])
            begun = began if entry["phase"] == "begin" else ""
            before = found.get((host, began))
            backup = backups.get((entry.get("fence"), entry.get("release")), "") or (
                before.backup if before else ""
            )
            found[host, began] = _run(host, began, entry, details, backup)
    return sorted((run for run in found.values() if run.result != "nothing"), key=lambda run: run.began)


def _run(host: str, began: str, entry: Mapping[str, Any], details: Mapping[str, Any], backup: str) -> Run:
    if entry["phase"] == "begin" or not details.get("seen", True):
        result = "not seen to its end"
    elif entry.get("result") != "ok":
        result = "failed"
    else:
        result = "nothing" if details.get("from") == details.get("to") else "applied"
    milliseconds = entry.get("duration_ms")
    return Run(
        host=host,
        began=began,
        release=texts.plain(entry.get("release") or ""),
        result=result,
        seconds=None if milliseconds is None or details.get("watched") else milliseconds / 1000,
        by=texts.plain(details.get("by") or entry.get("who") or ""),
        ticket=texts.plain(details.get("ticket") or ""),
        backup=texts.plain(backup),
        tries=int(details.get("tries") or 1),
        revisions=[_clean(each) for each in details.get("revisions") or [] if isinstance(each, dict)],
        blocked_by=[_clean(each) for each in details.get("blocked_by") or [] if isinstance(each, dict)],
        sentence=texts.plain(details.get("sentence") or entry.get("error") or ""),
    )


def _clean(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        texts.plain(name): (texts.query if name == "query" else texts.plain)(each)
        if isinstance(each, str)
        else each
        for name, each in value.items()
    }
