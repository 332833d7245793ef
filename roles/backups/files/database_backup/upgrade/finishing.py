"""The end of an upgrade: one cluster is left, and no way back."""

from __future__ import annotations

from typing import Any

from database_backup.errors import RefusedError
from database_backup.upgrade import planning, stream
from database_backup.upgrade.cluster import Cluster, both
from database_backup.upgrade.journal import BEGIN, CANCEL, END, FINISH, PREPARE, Journal
from database_backup.upgrade.settings import Settings


def finish(settings: Settings) -> dict[str, Any]:
    """Removes the old cluster, where the new one serves. Raises RefusedError before anything changed."""
    journal = Journal(settings)
    begun = journal.unfinished
    if (begun and begun["step"] != FINISH) or (
        not begun and (not journal.prepared or journal.serving != settings.new.version)
    ):
        raise RefusedError(
            f"{planning.plan(settings)['said']} It is not finished by this; nothing was changed."
        )
    old, new = both(settings).values()
    _leave_one(settings, journal, FINISH, new, old)
    detail = (
        f"{new} serves alone; {old} and its rows are gone. Now in the inventory: "
        f'postgresql_version: "{settings.new.version}", and no postgresql_upgrade_to; '
        "then: ansible-playbook -i inventory/ENV site.yml, and fab db-backup"
    )
    return {"serves": settings.new.version, "detail": detail}


def cancel(settings: Settings) -> dict[str, Any]:
    """Gives an upgrade up that has not moved, or has gone back: removes the new cluster. Raises RefusedError."""
    journal = Journal(settings)
    begun = journal.unfinished
    other = begun and begun["step"] not in (CANCEL, PREPARE)
    if other or (not begun and not journal.prepared):
        raise RefusedError(
            f"{planning.plan(settings)['said']} There is nothing to cancel; nothing was changed."
        )
    if not begun and journal.serving == settings.new.version:
        raise RefusedError(
            f"{settings.new.version} serves: type --back first, and --cancel then. Nothing was changed."
        )
    old, new = both(settings).values()
    _leave_one(settings, journal, CANCEL, old, new)
    return {
        "serves": settings.old.version,
        "detail": f"{new} is gone; {old} serves, as before, and its schema may change again.",
    }


def _leave_one(settings: Settings, journal: Journal, act: str, stays: Cluster, goes: Cluster) -> None:
    if journal.unfinished.get("step") != act:
        journal.write(act, BEGIN)
    stays.start()
    with journal.step("remove") as said:
        if said is not None:
            goes.remove()
    with journal.step("thaw") as said, stays.session(settings.database) as session:
        if said is not None:
            stream.unsubscribe(session)
            stream.drop_slots(session)
            session.ask(stream.THAW)
    journal.write(act, END)
