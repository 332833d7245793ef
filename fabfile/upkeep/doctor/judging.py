"""An item of the checklist, what was seen, and the verdict on the one by the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any

from fabfile.database import texts
from fabfile.database.findings import Finding, Level, Report

SITE = "ansible-playbook -i inventory/ENV site.yml"
OLDER = "the program there is of another Slipway"


class State(Enum):
    """A verdict's word. What is wrong is a fault that verify.yml or db-status names too."""

    MET = "met"
    NEEDLESS = "no need"
    ACCEPTED = "accepted"
    NOT_MET = "not met"
    UNSEEN = "unseen"
    WRONG = "wrong"

    @property
    def level(self) -> Level:
        return LEVELS[self]


LEVELS = {
    State.MET: Level.OK,
    State.NEEDLESS: Level.OK,
    State.ACCEPTED: Level.OK,
    State.NOT_MET: Level.WARN,
    State.UNSEEN: Level.UNKNOWN,
    State.WRONG: Level.CRITICAL,
}


@dataclass(frozen=True)
class Verdict:
    """evidence: what was seen, in one line. remedy: what to do about it, "" for what is met or unseen."""

    state: State
    evidence: str
    remedy: str = ""


@dataclass(frozen=True)
class Seen:
    """What one look found. groups: the inventory's, with the hosts' names. hosts: what each said that answered
    (plugins/module_utils/slipway_verify); unseen: why the others did not. database: None where nobody could look, and
    unlooked says why; replicas: how many standbys the inventory expects. accepted: items that it lives without
    (accepting.Accepted).
    """

    environment: str
    app: str
    groups: Mapping[str, Sequence[str]]
    hosts: Mapping[str, Mapping[str, Any]]
    unseen: Mapping[str, str] = field(default_factory=dict)
    database: Report | None = None
    unlooked: str = ""
    replicas: int = 0
    accepted: Mapping[str, tuple[str, date]] = field(default_factory=dict)
    seconds: float = 0.0

    def of(self, group: str) -> Sequence[str]:
        return self.groups.get(group, ())

    @property
    def has_database(self) -> bool:
        return bool(self.of("db"))

    def complaints(self, points: Sequence[str]) -> list[str]:
        """What is wrong by verify's look, each with its host."""
        return [
            f"{name}: {sentence}"
            for name, said in self.hosts.items()
            for point in points
            for sentence in said["complaints"].get(point, ())
        ]


class UnseenError(Exception):
    """What the item is about could not be looked at."""


@dataclass(frozen=True)
class Item:
    """id: its lasting name. asks: the line of the list. points: what of verify's look it stands on: what is wrong there
    is wrong here. group: whose hosts it is about, of the inventory.
    """

    id: str
    asks: str
    judge: Callable[[Seen], Verdict]
    points: tuple[str, ...] = ()
    group: str = "all"

    def judged(self, seen: Seen) -> Verdict:
        if wrong := seen.complaints(self.points):
            more = f" (and {len(wrong) - 1} more: verify.yml has all)" if len(wrong) > 1 else ""
            said, remedy = parted(wrong[0])
            return Verdict(State.WRONG, said + more, remedy)
        try:
            return self.judge(seen)
        except UnseenError as failure:
            return Verdict(State.UNSEEN, str(failure))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            return Verdict(State.UNSEEN, OLDER, SITE)


def parted(complaint: str) -> tuple[str, str]:
    """(What is wrong, what to type): a complaint of verify's ends with that."""
    said, found, remedy = complaint.rpartition(": ")
    return (said, remedy) if found else (complaint, "ansible-playbook -i inventory/ENV playbooks/verify.yml")


def met(evidence: str) -> Verdict:
    return Verdict(State.MET, evidence)


def missing(evidence: str, remedy: str) -> Verdict:
    return Verdict(State.NOT_MET, evidence, remedy)


def on_each(seen: Seen, group: str, judge: Callable[[Any], tuple[bool, str]], remedy: str) -> Verdict:
    """The verdict on all hosts of a group. judge: whether it is met by a host's facts, and what was seen there."""
    names = seen.of(group)
    if not names:
        return Verdict(State.NEEDLESS, f"the inventory has no host in the group {group}")
    found = {name: judge(seen.hosts[name]["facts"]) for name in names if name in seen.hosts}
    bad = {name: said for name, (is_met, said) in found.items() if not is_met}
    if bad:
        return missing(_together(bad, len(names)), remedy)
    if away := [name for name in names if name not in seen.hosts]:
        raise UnseenError(f"{', '.join(away)} did not answer")
    return met(_together({name: said for name, (_, said) in found.items()}, len(names)))


def _together(said: Mapping[str, str], of: int) -> str:
    """One line: what all hosts have in common once, else each with its name."""
    if len(set(said.values())) == 1 and len(said) == of:
        return next(iter(said.values()))
    by_text: dict[str, list[str]] = {}
    for name, text in said.items():
        by_text.setdefault(text, []).append(name)
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in by_text.items())


def known(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The facts, unless the program that was asked for them did not answer. Raises UnseenError."""
    if problem := facts.get("problem"):
        raise UnseenError(texts.plain(problem, 90))
    return facts


def by_database(seen: Seen, *checks: str) -> list[Finding]:
    """What db-status says of these checks. Raises UnseenError when it could not say."""
    if seen.database is None:
        raise UnseenError(f"the database was not looked at: {seen.unlooked}")
    found = [finding for finding in seen.database.findings if finding.check in checks]
    if not found:
        raise UnseenError(f"db-status did not say {', '.join(checks)}: {seen.database.server.role}")
    return found


def as_database_says(findings: Sequence[Finding]) -> Verdict:
    """The worst of what db-status says, which judged it: nothing of a database is judged here."""
    worst = max(findings, key=lambda finding: finding.counts_as.rank)
    states = {Level.OK: State.MET, Level.WARN: State.NOT_MET, Level.UNKNOWN: State.UNSEEN}
    state = states.get(worst.counts_as, State.WRONG)
    if state is State.MET:
        return met(" ".join(finding.sentence for finding in findings))
    return Verdict(state, worst.sentence, worst.command or "fab db-status")
