"""What the containers of a machine are before a release is brought live in them, and what speaks against it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from fabfile import schema
from fabfile.containers.project import SLOTS, Image, Project, Slot
from fabfile.containers.record import Journal
from fabfile.errors import RefusedError


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
