"""A release's image live in both containers: one after the other, and never with nobody to answer."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field

from fabfile import schema
from fabfile.containers import engine
from fabfile.containers.engine import CommandError
from fabfile.containers.project import SLOTS, Image, Project, Slot, who
from fabfile.containers.record import Journal, turn
from fabfile.errors import FabError, FailedError, RefusedError, UnfinishedError
from fabfile.interruption import in_order, obey, shielded
from fabfile.migration import events
from fabfile.report import Report

BESIDE = ("database", "cache")
SHOWN_LINES = 20


@dataclass(frozen=True)
class Wish:
    """image: which to bring live. back: to an earlier release, without a migration. patience: seconds to be ready."""

    image: Image
    back: bool = False
    patience: float = 60.0
    ticket: str = ""


@dataclass(frozen=True)
class Standing:
    """What is there before anything changes. applied: the schema; None of an empty or unknown one."""

    slots: dict[str, Slot]
    images: dict[str, Image] = field(repr=False)
    applied: str | None = None

    @property
    def serving(self) -> list[Slot]:
        return [slot for slot in self.slots.values() if slot.serves]


@dataclass(frozen=True)
class Moved:
    """release: live now. previous: what each container had. seconds: in all."""

    release: str
    previous: dict[str, str]
    seconds: float


def deploy(project: Project, report: Report, wish: Wish) -> Moved:
    """Bring a release live. Raises FabError; what it says is how things are then."""
    began = time.monotonic()
    if wrong := project.complaints():
        raise RefusedError(
            f"{'; '.join(wrong)}. make secrets INVENTORY=inventory/compose puts that right. Nothing was changed."
        )
    with in_order(), turn(project.state, who()):
        standing = look(project, wish)
        refuse(standing, wish)
        rollout = _Rollout(project, report, wish, standing, Journal(project.state))
        # A migration goes on in its container whoever listens: its end is waited for, and then a Ctrl-C is obeyed.
        with shielded():
            rollout.prepare()
        rollout.move()
    return Moved(
        wish.image.release,
        {name: slot.release for name, slot in standing.slots.items()},
        time.monotonic() - began,
    )


def look(project: Project, wish: Wish) -> Standing:
    """What the containers are, and which schema the database has."""
    slots = {name: project.slot(name, wish.image) for name in SLOTS}
    images = {wish.image.name: wish.image}
    for slot in slots.values():
        if slot.image and slot.image not in images:
            images[slot.image] = project.image(slot.image)
    journal = Journal(project.state)
    for name in journal.images():
        # One that was begun and cut off may be the only one that knows the schema; it may be gone, too.
        if name not in images:
            with suppress(RefusedError):
                images[name] = project.image(name)
    told = next((slot.schema for slot in slots.values() if slot.schema), None)
    return Standing(slots, images, told or journal.schema())


def waiting(standing: Standing, wish: Wish) -> list[schema.Revision]:
    """The revisions that a deploy would apply; what takes away is left."""
    pending = schema.pending(wish.image.chain, standing.applied)
    held = schema.held_back(pending, standing.applied)
    return [revision for revision in pending if revision not in held]


def refuse(standing: Standing, wish: Wish) -> None:
    """Raises RefusedError for a release that cannot run on the database's schema."""
    applied = standing.applied
    if not wish.back and (new := waiting(standing, wish)):
        applied = new[-1].id
    chains = [image.chain for image in standing.images.values()]
    if reason := schema.outside(wish.image.head, applied, chains):
        raise RefusedError(f"{wish.image.release} cannot be brought live: {reason}. Nothing was changed.")


def plan(standing: Standing, wish: Wish) -> str:
    """What would be done, in lines."""
    lines = [f"{wish.image.release} ({wish.image.name}) would be brought live."]
    for slot in standing.slots.values():
        lines.append(
            f"  {slot.name}: {slot.release or 'not there'}, {'serves' if slot.serves else 'does not serve'}"
        )
    new = [] if wish.back else waiting(standing, wish)
    lines += [f"  migrate: {each.id} {each.title} ({each.kind})" for each in new] or ["  migrate: nothing"]
    return "\n".join(lines)


class _Rollout:
    def __init__(
        self, project: Project, report: Report, wish: Wish, standing: Standing, journal: Journal
    ) -> None:
        self.project, self.report, self.wish, self.standing, self.journal = (
            project,
            report,
            wish,
            standing,
            journal,
        )
        self.image = wish.image
        self.touched: list[Slot] = []

    def prepare(self) -> None:
        """The database is there and has the release's schema; the traffic is as it was."""
        self.journal.write(
            "begin",
            self.image.release,
            image=self.image.name,
            back=self.wish.back,
            ticket=self.wish.ticket,
            who=who(),
        )
        self.report.step("database", "and cache: there, and healthy")
        self._or_fail(
            lambda: self.project.compose(
                "up", "--detach", "--no-recreate", "--wait", *BESIDE, image=self.image
            )
        )
        new = waiting(self.standing, self.wish)
        if self.wish.back or (not new and self.standing.applied):
            return
        titles = {each.id: f"{each.title} ({each.kind})" for each in new}
        self.report.step("migrate", "; ".join(f"{name} {title}" for name, title in titles.items()))

        def tell(line: str) -> None:
            if said := events.sentence(line, titles):
                self.report.told("migrate", said)

        said = self._or_fail(
            lambda: self.project.compose(
                "run", "--rm", "--no-deps", "-T", "migrate", image=self.image, tell=tell
            )
        )
        done = engine.parsed(said) or {}
        self.journal.write("migrated", self.image.release, **{"from": done.get("from"), "to": done.get("to")})
        if done.get("held_back"):
            self.report.told("migrate", f"left to migrate --contract: {', '.join(done['held_back'])}")

    def _or_fail(self, do: object) -> str:
        try:
            return str(do())  # type: ignore[operator]
        except CommandError as failure:
            self.journal.write("failed", self.image.release, error=str(failure))
            self.journal.write("as-before", self.image.release)
            raise FailedError(
                f"{failure}\nNo container of the service was touched: they serve what they served."
            ) from None

    def move(self) -> None:
        """Each container in turn, who does not serve first; everything back when one fails."""
        for slot in sorted(self.standing.slots.values(), key=lambda slot: slot.serves):
            try:
                obey()
                if slot.serves and slot.image == self.image.name:
                    self.report.done(slot.name, f"serves {self.image.release} already")
                    continue
                self.touched.append(slot)
                self._replace(slot.name, self.image)
            except (CommandError, FabError) as failure:
                self._take_back(slot, failure)
        with shielded():
            self.project.keep(self.image)
            self.journal.write("live", self.image.release, image=self.image.name)
            self._or_unfinished()

    def _or_unfinished(self) -> None:
        try:
            self.project.compose("up", "--detach", "--no-deps", "--no-recreate", "edge", image=self.image)
        except CommandError as failure:
            raise UnfinishedError(
                f"{self.image.release} serves in both containers, and the edge does not run: {failure}"
            ) from None

    def _replace(self, name: str, image: Image) -> None:
        self.report.step("replace", f"{name} by {image.release}")
        self.journal.write("replace", image.release, container=name)
        self.project.traffic("close", name, image=image)
        self.project.compose("up", "--detach", "--no-deps", "--force-recreate", name, image=image)
        within = f"--within={self.wish.patience:g}"
        self.project.traffic("open", name, f"--release={image.release}", within, image=image)
        self.report.done(name, f"proven on its own socket, and serves {image.release}")

    def _take_back(self, slot: Slot, failure: Exception) -> None:
        """Raises FailedError once all is as it was, UnfinishedError when it is not."""
        with shielded():
            said = f"{slot.name}: {failure}"
            try:
                logs = self.project.compose(
                    "logs", "--no-color", f"--tail={SHOWN_LINES}", slot.name, image=self.image
                )
            except CommandError:
                logs = ""
            self.journal.write("failed", self.image.release, container=slot.name, error=str(failure))
            try:
                for touched in reversed(self.touched):
                    self._put_back(touched)
            except CommandError as further:
                raise UnfinishedError(
                    f"{said}\n{logs}\nand what was there could not be put back: {further}\nfab image-rollback, or "
                    "fab image-deploy with a release that works, makes both containers agree."
                ) from None
            self.journal.write("as-before", self.image.release)
            served = ", ".join(f"{each.name} {each.release}" for each in self.standing.serving)
            raise FailedError(
                f"{said}\n{logs}\n{self.image.release} was taken back. It serves what it served: {served or 'nothing'}."
            )

    def _put_back(self, slot: Slot) -> None:
        if not slot.image:
            self.project.compose("rm", "--stop", "--force", slot.name, image=self.image)
            return
        self._replace(slot.name, self.standing.images[slot.image])
