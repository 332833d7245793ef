"""`fab alerts`: what fires, since when, worst first, with what to type; `fab silence`: what is not told for a time."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fabfile.accepted import SHORTEST_REASON
from fabfile.database import texts, units
from fabfile.database.findings import Level, worst
from fabfile.errors import FailedError, RefusedError
from fabfile.upkeep.watcher import Watcher

LEVELS = {"critical": Level.CRITICAL, "warning": Level.WARN}
LASTING = re.compile(r"([1-9][0-9]{0,3})([mhd])")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=30)
HEARTBEAT = "Watchdog"


@dataclass(frozen=True)
class Alert:
    """level: critical or warning. since: in seconds since 1970. silenced: by whom, why and until when; "" for not."""

    name: str
    level: str
    sentence: str
    command: str
    runbook: str
    since: float
    labels: Mapping[str, str]
    silenced: str = ""

    @property
    def rank(self) -> tuple[bool, int, float]:
        return bool(self.silenced), -LEVELS[self.level].rank, self.since


@dataclass(frozen=True)
class Told:
    """What the watcher said. problems: what it could not say, in sentences."""

    host: str
    alerts: tuple[Alert, ...]
    problems: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """As db-status has it: 0 ok, 1 warning, 2 critical, 3 not known; what is silenced wakes nobody."""
        levels = [LEVELS[alert.level] for alert in self.alerts if not alert.silenced]
        return worst([*levels, *([Level.UNKNOWN] if self.problems else [])]).value


def read(watcher: Watcher) -> Told:
    """Raises UnreachableError."""
    answers = watcher.ask([("judged", watcher.judged, None), ("silences", watcher.silences, None)])
    problems = []
    if problem := answers["silences"].get("problem"):
        problems.append(
            f"Alertmanager on {watcher.host.name} does not answer, and tells nobody: {texts.plain(problem)}."
        )
    if problem := answers["judged"].get("problem"):
        said = f"Prometheus on {watcher.host.name} does not answer: {texts.plain(problem)}. What fires is not known."
        return Told(watcher.host.name, (), (said, *problems))
    listed = [row for row in answers["judged"]["said"]["data"]["alerts"] if row["state"] == "firing"]
    if not any(row["labels"]["alertname"] == HEARTBEAT for row in listed):
        problems.append(
            f"Prometheus on {watcher.host.name} judges no alert: its {HEARTBEAT}, which always fires, does not."
        )
    silences = [one for one in answers["silences"].get("said") or [] if one["status"]["state"] == "active"]
    found = (_alert(row, silences) for row in listed if row["labels"].get("severity") in LEVELS)
    return Told(watcher.host.name, tuple(sorted(found, key=lambda alert: alert.rank)), tuple(problems))


def _alert(row: Mapping[str, Any], silences: list[dict[str, Any]]) -> Alert:
    labels, said = row["labels"], row["annotations"]
    silence = next((one for one in silences if _holds(one, labels)), None)
    return Alert(
        name=labels["alertname"],
        level=labels["severity"],
        sentence=texts.plain(said.get("sentence", "")),
        command=texts.plain(said.get("command", "")),
        runbook=texts.plain(said.get("runbook", "")),
        since=datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", row["activeAt"])).timestamp(),
        labels={name: texts.plain(text) for name, text in labels.items()},
        silenced=_silenced(silence) if silence else "",
    )


def _holds(silence: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    for matcher in silence["matchers"]:
        value, wanted = labels.get(matcher["name"], ""), matcher["value"]
        same = bool(re.fullmatch(wanted, value)) if matcher["isRegex"] else value == wanted
        if same != matcher.get("isEqual", True):
            return False
    return True


def _silenced(silence: Mapping[str, Any]) -> str:
    return texts.plain(
        f"until {silence['endsAt'][:16].replace('T', ' ')} UTC by {silence['createdBy']}: {silence['comment']} "
        f"(fab silence --end {silence['id']})"
    )


def lines(told: Told, now: float) -> Iterator[str]:
    """A screen."""
    firing = [alert for alert in told.alerts if not alert.silenced]
    counts = [
        f"{number} {word}" for word in LEVELS if (number := sum(alert.level == word for alert in firing))
    ]
    silent = len(told.alerts) - len(firing)
    counts += [f"{silent} silenced"] if silent else []
    yield f"{told.host} watches: {', '.join(counts) or 'nothing fires'}."
    for problem in told.problems:
        yield f"\nUNKNOWN   {problem}\n          read  docs/runbooks/alerts-monitoring.md"
    for alert in told.alerts:
        word = "SILENCED" if alert.silenced else alert.level.upper().replace("WARNING", "WARN")
        yield f"\n{word:<10}{alert.sentence}"
        yield f"          {alert.name}, for {units.duration(max(0.0, now - alert.since))}"
        if alert.silenced:
            yield f"          {alert.silenced}"
            continue
        if alert.command:
            yield f"          type  {alert.command}"
        if alert.runbook:
            yield f"          read  docs/runbooks/{alert.runbook}"


def encoded(told: Told) -> str:
    """One JSON object."""
    return json.dumps({"version": 1, "exit_code": told.exit_code, **asdict(told)}, indent=2)


def silence(watcher: Watcher, name: str, reason: str, lasting: str, host: str = "") -> str:
    """A sentence on what is not told, and until when. Raises RefusedError, FailedError, UnreachableError."""
    span = _span(lasting)
    if len(reason.strip()) < SHORTEST_REASON:
        raise RefusedError(
            f"A silence needs --reason in words, for whoever comes next: {reason!r} is none. Nothing was silenced."
        )
    firing = [
        alert
        for alert in read(watcher).alerts
        if alert.name == name and host in ("", alert.labels.get("host"))
    ]
    if not firing:
        where = f" on {host}" if host else ""
        raise RefusedError(
            f"{name} does not fire{where}, and what may come is not silenced ahead. Type: fab alerts"
        )
    now = datetime.now(UTC)
    wanted = {"alertname": name, **({"host": host} if host else {})}
    body = {
        "matchers": [
            {"name": key, "value": value, "isRegex": False, "isEqual": True} for key, value in wanted.items()
        ],
        "startsAt": now.isoformat(),
        "endsAt": (now + span).isoformat(),
        "createdBy": getpass.getuser(),
        "comment": reason.strip(),
    }
    answer = watcher.ask([("made", watcher.silences, body)])["made"]
    if problem := answer.get("problem"):
        raise FailedError(
            f"Alertmanager on {watcher.host.name} did not take it: {texts.plain(problem)}. Nothing is silenced."
        )
    ends = (now + span).strftime("%Y-%m-%d %H:%M UTC")
    return f"{name} is silent until {ends}. To end it: fab silence --end {answer['said']['silenceID']}"


def end(watcher: Watcher, identity: str) -> str:
    """End a silence. Raises FailedError, UnreachableError."""
    address = watcher.silences.replace("/silences", f"/silence/{identity}")
    answer = watcher.ask([("ended", address, "DELETE")])["ended"]
    if problem := answer.get("problem"):
        raise FailedError(
            f"The silence {identity} was not ended: {texts.plain(problem)}. It holds as it did. Type: fab alerts"
        )
    return f"The silence {identity} has ended: what fires is told again."


def _span(text: str) -> timedelta:
    found = LASTING.fullmatch(text)
    span = timedelta(**{UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < span <= LONGEST:
        raise RefusedError(
            f"--lasting {text} is no time from 1m to 30d, such as 2h: a silence has an end. Nothing was silenced."
        )
    return span
