"""Whether customers still get what they got before, by nginx's access log.

A refusal (4xx) alone proves nothing: strangers are refused all day. It is the release's when it says that it does not
know its own public name, and when what the release before answered is now refused to everybody who asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from slipway.traffic.access_log import is_probe

MISDIRECTED, TOO_MANY = 421, 429
# One alone may have a broken client.
LEAST_CLIENTS = 2
# Of the answers to what was answered before: a page that was taken away on purpose is not most of what is asked for.
MOST_REFUSED_PERCENT = 50.0
SHOWN = 3


@dataclass
class _Asked:
    """What was answered to one method and path."""

    answers: int = 0
    good: bool = False
    status: int = 0
    clients: set[str] = field(default_factory=set)

    @property
    def is_refused(self) -> bool:
        return not self.good and len(self.clients) >= LEAST_CLIENTS


class Customers:
    """public: the name by which they come; None judges nothing. earlier: the log's lines from before."""

    def __init__(self, release: str, public: str | None, earlier: Iterable[dict[str, Any]]) -> None:
        self.release = release
        self.name = f"[{public}]" if public and ":" in public else public
        self.misdirected = 0
        mine = (entry for entry in earlier if entry.get("release") not in ("", release))
        self._asked = {_what(entry): _Asked() for entry in mine if self._is_theirs(entry) and _is_good(entry)}

    def see(self, entries: Iterable[dict[str, Any]]) -> None:
        for entry in entries:
            status = entry.get("status")
            if entry.get("release") != self.release or not self._is_theirs(entry) or status == TOO_MANY:
                continue
            self.misdirected += status == MISDIRECTED
            asked = self._asked.get(_what(entry))
            if asked is None or not isinstance(status, int) or status >= 500:
                continue
            asked.answers += 1
            asked.status = status
            asked.good = asked.good or status < 400
            if len(asked.clients) < LEAST_CLIENTS:
                asked.clients.add(str(entry.get("client")))

    @property
    def refused(self) -> int:
        """Answers to what is refused to everybody now, and was not before."""
        return sum(asked.answers for asked in self._asked.values() if asked.is_refused)

    def complaint(self, requests: int, most_percent: float, least: int) -> str:
        """What is wrong; empty when nothing is. least: fewer answers say nothing about a percentage."""
        if requests >= least and 100 * self.misdirected > most_percent * requests:
            return (
                f"{self.misdirected} of {requests} answers were 421 to its own public name {self.name} "
                f"({most_percent:g} % are accepted)"
            )
        known = sum(asked.answers for asked in self._asked.values())
        if known < least or 100 * self.refused <= MOST_REFUSED_PERCENT * known:
            return ""
        lost = [
            (asked.answers, what, asked.status) for what, asked in self._asked.items() if asked.is_refused
        ]
        most_asked = sorted(lost, reverse=True)[:SHOWN]
        shown = ", ".join(f"{method} {path} ({status})" for _, (method, path), status in most_asked)
        return (
            f"customers are refused what they were answered before it: {shown}; {self.refused} of {known} answers to "
            f"such requests ({MOST_REFUSED_PERCENT:g} % are accepted)"
        )

    def _is_theirs(self, entry: dict[str, Any]) -> bool:
        return self.name is not None and entry.get("host") == self.name and not is_probe(entry)


def _what(entry: dict[str, Any]) -> tuple[str, str]:
    return str(entry.get("method")), str(entry.get("uri")).partition("?")[0]


def _is_good(entry: dict[str, Any]) -> bool:
    status = entry.get("status")
    return isinstance(status, int) and status < 400
