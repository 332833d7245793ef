"""A release's image live in both containers: one after the other, and never with nobody to answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fabfile import schema
from fabfile.containers import engine
from fabfile.containers.engine import CommandError
from fabfile.containers.project import Image, Project, Slot, who
from fabfile.containers.record import Journal, turn
from fabfile.containers.standing import Standing, Wish, look, refuse, waiting
from fabfile.database import texts
from fabfile.errors import FabError, FailedError, RefusedError, UnfinishedError
from fabfile.interruption import in_order, obey, shielded
from fabfile.migration import events
from fabfile.report import Report

BESIDE = ("database", "cache")
SHOWN_LINES = 20


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
        with self._untouched():
            self.project.compose("up", "--detach", "--no-recreate", "--wait", *BESIDE, image=self.image)
        new = waiting(self.standing, self.wish)
        if not self.wish.back and (new or not self.standing.applied):
            self._migrate(new)

    def _migrate(self, new: list[schema.Revision]) -> None:
        titles = {each.id: f"{each.title} ({each.kind})" for each in new}
        self.report.step("migrate", "; ".join(f"{name} {title}" for name, title in titles.items()))
        lines: list[str] = []

        def tell(line: str) -> None:
            if said := events.sentence(line, titles):
                lines.append(said)
                self.report.told("migrate", said)

        words = ("run", "--rm", "--no-deps", "-T", "migrate")
        with self._untouched():
            done = engine.parsed(self.project.compose(*words, image=self.image, tell=tell))
            # As for traffic: the last line says that it ended well, and nothing else does.
            if not done or not {"from", "to"} <= done.keys():
                raise CommandError("\n".join(["The migration did not end well.", *lines[-SHOWN_LINES:]]))
        self.journal.write("migrated", self.image.release, **{"from": done["from"], "to": done["to"]})
        if done.get("held_back"):
            self.report.told("migrate", f"left to migrate --contract: {', '.join(done['held_back'])}")

    @contextmanager
    def _untouched(self) -> Iterator[None]:
        """What fails in the block has touched no container of the service."""
        try:
            yield
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
                self._replace(slot.name, self.image, self.wish.patience)
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

    def _replace(self, name: str, image: Image, patience: float) -> None:
        self.report.step("replace", f"{name} by {image.release}")
        self.journal.write("replace", image.release, container=name)
        self.project.traffic("close", name, image=image)
        self.project.compose("up", "--detach", "--no-deps", "--force-recreate", name, image=image)
        within = f"--within={patience:g}"
        self.project.traffic("open", name, f"--release={image.release}", within, image=image)
        self.report.done(name, f"proven on its own socket, and serves {image.release}")

    def _take_back(self, slot: Slot, failure: Exception) -> None:
        """Raises FailedError once all is as it was, UnfinishedError when it is not."""
        with shielded():
            said = f"{slot.name}: {failure}"
            try:
                logs = self.project.compose(
                    "logs",
                    "--no-color",
                    "--no-log-prefix",
                    f"--tail={SHOWN_LINES}",
                    slot.name,
                    image=self.image,
                )
                # Whoever wrote them, none acts on a terminal.
                logs = "\n".join(texts.plain(line, events.LONGEST) for line in logs.splitlines())
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
        # What served is waited for, however little the new one was given.
        self._replace(slot.name, self.standing.images[slot.image], max(self.wish.patience, Wish.patience))
