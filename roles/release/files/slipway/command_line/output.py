"""What slipway says: one JSON object for programs, sentences and tables for people."""

from __future__ import annotations

import json
import sys
from typing import Any

from slipway.errors import SlipwayError
from slipway.turns.session import Report

SCHEMA = 1


def report_answer(command: str, report: Report) -> dict[str, Any]:
    return {"schema": SCHEMA, "command": command, "changed": report.changed, "result": report.result}


def error_answer(failure: SlipwayError, command: str) -> dict[str, Any]:
    error = {"code": failure.code, "message": failure.message, "details": failure.details}
    return {"schema": SCHEMA, "command": command or None, "error": error}


def show_report(command: str, report: Report, as_json: bool) -> None:
    if as_json:
        print_json(report_answer(command, report))
    elif command == "list":
        print(_table(report.result["releases"]))
    elif command == "status":
        print(_status(report.result))
    elif command == "journal":
        print(_journal(report.result))
    else:
        print(report.message)


def show_error(failure: SlipwayError, command: str, as_json: bool) -> None:
    if as_json:
        print_json(error_answer(failure, command))
    else:
        print(f"slipway: {failure.message}", file=sys.stderr)


def print_json(content: Any) -> None:
    print(json.dumps(content, sort_keys=True), flush=True)


def _journal(result: dict[str, Any]) -> str:
    """A line a record. What a record holds may come from anyone: nothing of it moves the cursor."""
    lines = []
    for entry in result["entries"]:
        took = f" {entry['duration_ms']} ms" if "duration_ms" in entry else ""
        fence = f"fence {entry['fence']}" if entry.get("fence") else "console"
        head = f"{entry.get('time', '-')[:23]}  {entry.get('who', '-')} ({fence})  {entry['step']}"
        end = " ".join(filter(None, [entry.get("result") or entry["phase"], entry.get("release")])) + took
        said = "; ".join(filter(None, [entry.get("error"), json.dumps(entry.get("details") or {})]))
        lines.append(f"{head} {end}  {said.removesuffix('; {}').removesuffix('{}')}".rstrip())
    lines += [f"!  torn line: {text[:60]!r}" for text in result["torn"]]
    if found := result["verified"]:
        lines.append(f"{found['lines']} lines, none altered; the last has sha256 {found['sha256']}")
    return "\n".join("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in lines)


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "No release on this host yet. `fab deploy` brings one."
    lines = [["RELEASE", "STATE", "UNIT", "COMMIT", "SCHEMA", "BUILT", "MB"]]
    for row in rows:
        commit = (row["git_sha"] or "-")[:7] + (" (dirty)" if row["dirty"] else "")
        unit = row["unit"] + (", at boot" if row["enabled"] else "")
        size = "-" if row["size"] is None else f"{row['size'] / 1e6:.0f}"
        lines.append(
            [
                row["release"],
                row["state"],
                unit,
                commit,
                row["schema_head"] or "-",
                row["built_at"] or "-",
                size,
            ]
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _status(result: dict[str, Any]) -> str:
    live, problems = result["live"], _problems(result)
    if live is None:
        lines = ["live      none: no release is live on this host yet"]
    else:
        unit = live["unit"] or {"active": "unknown", "sub": "unknown", "enabled": False}
        boot = "starts at boot" if unit["enabled"] else "does NOT start at boot"
        lines = [
            f"live      {live['release']}  commit {(live['git_sha'] or '-')[:7]}  built {live['built_at']}",
            f"unit      {unit['active']} ({unit['sub']}), {boot}",
            f"socket    {_socket(live['socket'])}",
            f"schema    needs {live['schema_head'] or 'none'}, the database has {live['schema_applied'] or 'not said'}",
        ]
    lines.append(f"previous  {result['previous'] or 'none'}")
    lines.append(f"running   {', '.join(result['running']) or 'none'}")
    if kept_warm := result["warm"]:
        lines.append(f"warm      {kept_warm['release']} until {kept_warm['until'] or 'now'}")
    if drained := result["drained"]:
        lines.append(f"drained   since {drained['since']}: the edge is refused on port {drained['port']}")
    if closed := result["maintenance"]:
        lines.append(f"closed    for maintenance since {closed['since']}: {closed['message']}")
    if held := result["lease"]:
        lines.append(
            f"lease     {held['state']}: {held['holder']}, `{held['command']}`, until {held['expires']}"
        )
    if said := result["last_record"]:
        lines.append(f"rollout   {said['kind']} of {said['release'] or '-'} by {said['who']}, {said['time']}")
    if left := result["migration"]:
        still = "still runs" if left["running"] else "has ended, and nobody saw how"
        lines.append(f"migration {left['release']}, begun by {left['by']} at {left['began']}, {still}")
    lines += [f"!         {problem}" for problem in problems]
    return "\n".join(lines)


def _socket(answer: dict[str, Any]) -> str:
    if answer["status"] is None:
        return f"no answer: {answer['error']}"
    word = "ready" if answer["ready"] else "NOT READY"
    return f"{word}: HTTP {answer['status']}, X-Release {answer['release']}, {json.dumps(answer['body'])}"


def _problems(result: dict[str, Any]) -> list[str]:
    found = []
    if holder := result["lock"]:
        found.append(f"locked by process {holder['pid']}: {holder['command']}, since {holder['since']}")
    else:
        found += [
            f"{entry['step']} of {entry.get('release')} ({entry['time']}) never ended; run it again"
            for entry in result["unfinished"]
        ]
    found += [f"half-built: {name}; the next stage sweeps it" for name in result["half_built"]]
    found += [f"left behind: {name}; the next stage sweeps it" for name in result["leftovers"]]
    found += [f"torn line in the journal: {text[:60]!r}" for text in result["journal_torn"]]
    found += result["damaged"].values()
    return found
