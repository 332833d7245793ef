"""What an upgrade would meet: every obstacle by name with what to do about it, and what it takes."""

from __future__ import annotations

from typing import Any

from database_backup import files, words
from database_backup.errors import RefusedError
from database_backup.upgrade import catalogue, obstacles
from database_backup.upgrade.cluster import Cluster, both
from database_backup.upgrade.journal import Journal
from database_backup.upgrade.obstacles import Obstacle
from database_backup.upgrade.settings import Settings

# A second copy of the rows and their indexes, and WAL meanwhile.
GROWTH, SPARE = 1.3, 1 << 30


def plan(settings: Settings) -> dict[str, Any]:
    """What speaks against an upgrade, and what it takes: {"obstacles", "bytes", "needed", "room", "state", …}.

    Changes nothing. Raises RefusedError after the end of it, FailedError when the live server cannot be asked.
    """
    journal = Journal(settings)
    if journal.prepared or journal.unfinished:
        return _under_way(settings, journal)
    old, new = both(settings).values()
    if not old.there:
        raise RefusedError(
            f"{old} is not here, so there is nothing to upgrade. Was it, and finished? Then the inventory says "
            f'postgresql_version: "{settings.new.version}", and no postgresql_upgrade_to. Nothing was changed.'
        )
    found = look(settings, old)
    seen = [*obstacles.of_programs(settings), *obstacles.of_server(found), *obstacles.of_catalogue(found)]
    if not any(each.what == "programs" for each in seen):
        seen += obstacles.of_the_new(settings, found)
    if settings.physical:
        seen.append(obstacles.of_physical_backups())
    needed, room = round(found["bytes"] * GROWTH) + SPARE, files.free(settings.old.data)
    if room < needed:
        said = (
            f"{settings.old.data} has {words.size(room)} free, and a second copy beside the first may need "
            f"{words.size(needed)}. Free some, or add a disk."
        )
        seen.append(Obstacle("disk", True, said))
    if new.there:
        said = (
            f"A cluster {new} is here already, which no upgrade of Slipway's made. Drop it with "
            "pg_dropcluster, as root, if nobody needs it."
        )
        seen.append(Obstacle("clusters", True, said))
    blocking = [each for each in seen if each.blocks]
    rehearsed = journal.last("rehearse")
    return {
        "state": "not begun", "obstacles": [each.record for each in seen], "bytes": found["bytes"],
        "needed": needed, "room": room, "facts": found, "blocked": bool(blocking), "rehearsed": rehearsed,
        "said": _said(settings, found, seen, needed, room, rehearsed),
    }  # fmt: skip


def look(settings: Settings, old: Cluster) -> dict[str, Any]:
    """All that the live server is asked, in one session of each database."""
    with old.session() as session:
        (of_cluster,) = session.rows(catalogue.question(catalogue.OF_CLUSTER), database=settings.database)
        (facts,) = session.rows(catalogue.FACTS, database=settings.database)
    with old.session(settings.database) as session:
        (inside,) = session.rows(catalogue.question(catalogue.IN_DATABASE))
    return {**facts, **of_cluster, **inside}


def _under_way(settings: Settings, journal: Journal) -> dict[str, Any]:
    begun = journal.unfinished
    doing = {"prepare": "--prepare", "finish": "--finish", "cancel": "--cancel"}
    command = doing.get(
        begun.get("step", ""), "--switch" if begun.get("to") == settings.new.version else "--back"
    )
    if begun:
        state = (
            f"{command[2:]} was begun at {begun['at']} and has not ended. To go on: fab db-upgrade --to "
            f"{settings.new.version} {command}"
        )
    elif journal.serving == settings.new.version:
        state = (
            f"{settings.new.version} serves, {settings.old.version} follows it. --back goes back, with all "
            "rows; --finish ends that."
        )
    else:
        state = (
            f"Prepared: {settings.new.version} follows {settings.old.version}, which serves. --switch moves, "
            "--cancel gives up."
        )
    return {"state": state, "obstacles": [], "blocked": False, "said": state}


def _said(
    settings: Settings,
    found: dict[str, Any],
    seen: list[Obstacle],
    needed: int,
    room: int,
    rehearsed: dict[str, Any],
) -> str:
    blocking = [each for each in seen if each.blocks]
    lines = [
        f"From {found['version']} to {settings.new.version}: {words.size(found['bytes'])} of "
        f"{settings.database} are copied "
        f"while it serves, into a cluster beside it. That needs {words.size(needed)} of the {words.size(room)} free."
    ]
    lines += [f"{'IN THE WAY' if each.blocks else 'TO KNOW'}  {each.what}: {each.say}" for each in seen]
    if rehearsed:
        lines.append(
            f"Rehearsed at {rehearsed['at']}: copied in {rehearsed['copy_seconds']} s, writers paused for "
            f"{rehearsed['pause_seconds']} s."
        )
    else:
        lines.append(
            f"How long it takes is not measured yet: fab db-upgrade --to {settings.new.version} --rehearse"
        )
    lines.append(
        f"{len(blocking)} obstacles are in the way; nothing was changed."
        if blocking
        else f"Nothing is in the way. Next: fab db-upgrade --to {settings.new.version} --rehearse, then --prepare"
    )
    return "\n".join(lines)


def require(settings: Settings) -> dict[str, Any]:
    """The plan, where nothing is in the way. Raises RefusedError with what is."""
    found = plan(settings)
    if found["blocked"]:
        raise RefusedError(
            "\n".join(
                [
                    f"The upgrade to {settings.new.version} cannot be prepared:",
                    *(f"{each['what']}: {each['say']}" for each in found["obstacles"] if each["blocks"]),
                    "Nothing was changed.",
                ]
            )
        )
    return found
