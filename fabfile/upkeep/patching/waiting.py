"""What one host has waiting, as playbooks/patch.yml hands it over, and what of it customers would notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# In which order hosts are patched: what nobody waits for first, what everybody needs last.
ORDER = ("logs", "backups", "monitoring", "app", "edge", "db")
LEAST_HOSTS = 2
# What an update cannot have made, and what a patch is for.
NO_REASON = ("certificates", "updates")
LISTED = 6


@dataclass(frozen=True)
class Update:
    """One package. before: "" for one that is new."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return (
            f"{self.name} {self.before} -> {self.after}" if self.before else f"{self.name} {self.after} (new)"
        )


@dataclass(frozen=True)
class Place:
    """What a host is to the others. groups: those of ORDER. drains: whether other app hosts answer for it meanwhile."""

    name: str
    groups: tuple[str, ...]
    drains: bool
    only: tuple[str, ...]

    @property
    def rank(self) -> int:
        return max((ORDER.index(group) for group in self.groups), default=0)


@dataclass(frozen=True)
class Waiting:
    """updates come at any time, apart in a window. reboot: for which packages one is asked for. stale: units that run
    what was replaced, by how they are started anew. complaints: what is wrong with the host already."""

    place: Place
    updates: tuple[Update, ...] = ()
    apart: tuple[Update, ...] = ()
    held: tuple[str, ...] = ()
    reboot: tuple[str, ...] = ()
    kernel: str = ""
    stale: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()
    size: int = 0

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def is_edge(self) -> bool:
        return "edge" in self.place.groups

    @property
    def packages(self) -> list[str]:
        """The names to install at any time: what is new comes with what needs it."""
        return [update.name for update in self.updates if update.before]

    @property
    def interrupted(self) -> str:
        """Whom a reboot of the host would leave without an answer, in words; "" when it is nobody."""
        said = list(self.place.only)
        said += [f"{', '.join(self.services)} has it, too"] if self.services else []
        return "; ".join(said)

    @property
    def begins(self) -> bool:
        """Whether there is anything to do at any time."""
        stale = bool(self.stale.get("at-once")) or bool(self.stale.get("nginx") and not self.is_edge)
        release = bool(self.stale.get("release")) and self.place.drains
        return bool(
            self.packages or self.unfinished or stale or release or (self.reboot and not self.interrupted)
        )

    @property
    def windows(self) -> list[str]:
        """What waits for a window, in words."""
        said = []
        files = f"for {', '.join(names_of(self.files))}"
        database = [update for update in self.apart if update.name.startswith("postgresql")]
        nginx = [update for update in self.apart if update not in database]
        if database or self.stale.get("database"):
            said.append(f"PostgreSQL restarts once, {listed(database) or files}")
        if nginx or (self.stale.get("nginx") and self.is_edge):
            # nginx closes what waits for its next request, and a client may be sending one.
            said.append(
                f"nginx changes its program, {listed(nginx) or files}: connections that are kept open close"
            )
        if self.reboot and self.interrupted:
            said.append(f"a reboot for {', '.join(self.reboot)}: {self.interrupted}")
        return said

    @property
    def left(self) -> list[str]:
        """What only a person ends, in words."""
        said = []
        if self.stale.get("release") and not self.place.drains:
            said.append(
                "the release runs what was replaced, and no other host answers meanwhile: fab deploy --ref COMMIT"
            )
        if self.stale.get("left"):
            said.append(
                f"{', '.join(self.stale['left'])} run what was replaced, until a reboot or whoever owns them"
            )
        if self.kernel:
            said.append(f"the kernel {self.kernel} is installed and another one runs")
        if self.held:
            said.append(f"held or kept back: {', '.join(self.held)}")
        return said


def of(place: Place, answer: Mapping[str, Any]) -> Waiting:
    """What a host said. answer: as playbooks/patch.yml writes it."""
    seen, complaints = answer.get("seen") or {}, answer.get("complaints") or {}
    return Waiting(
        place,
        updates=_updates(seen.get("updates")),
        apart=_updates(seen.get("apart")),
        **{
            name: tuple(seen.get(name) or ())
            for name in ("held", "reboot", "files", "unfinished", "services")
        },
        kernel=str(seen.get("kernel") or ""),
        stale=seen.get("stale") or {},
        complaints=tuple(said for kind, each in complaints.items() if kind not in NO_REASON for said in each),
        size=int(seen.get("bytes") or 0),
    )


def _updates(rows: Any) -> tuple[Update, ...]:
    return tuple(Update(row["name"], row["before"], row["after"]) for row in rows or ())


def listed(updates: Sequence[Update]) -> str:
    """The first of them, and how many more."""
    more = len(updates) - LISTED
    return ", ".join(map(str, updates[:LISTED])) + (f" and {more} more" if more > 0 else "")


def names_of(files: Sequence[str]) -> list[str]:
    return sorted({path.rpartition("/")[2] for path in files})[:LISTED]


def places(groups: Mapping[str, Sequence[str]]) -> list[Place]:
    """Every host of an inventory in the order of patching. groups: hosts by group."""
    names = list(dict.fromkeys(name for group in ORDER for name in groups.get(group, ())))
    names += [name for name in groups.get("all", ()) if name not in names]
    return sorted((_place(name, groups) for name in names), key=lambda place: place.rank)


def _place(name: str, groups: Mapping[str, Sequence[str]]) -> Place:
    mine = tuple(group for group in ORDER if name in groups.get(group, ()))
    drains = "app" in mine and len(groups["app"]) >= LEAST_HOSTS
    only = []
    if "app" in mine and not drains:
        only.append("it is the only app host")
    # Which edge a customer comes to, no inventory says: each is somebody's only one.
    if "edge" in mine:
        only.append("customers come in by it")
    if "db" in mine:
        only.append("the database is on it")
    return Place(name, mine, drains, tuple(only))
