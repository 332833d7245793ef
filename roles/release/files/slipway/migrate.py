"""`slipway migrate`: the release's migrations, in its own unit, waited for."""

from __future__ import annotations

import json
import time
from typing import Any

from slipway import marks, releases
from slipway.errors import RefusedError, StepError
from slipway.session import Report, Session


def migrate(session: Session, release: str, seconds: float, contract: bool = False) -> Report:
    """Runs the release's migration unit and waits at most seconds for it.

    contract: also what releases before it could not live with; refused while one of them is kept here.
    changed is what the unit's last lines say, {"from": revision, "to": revision}; without them it is true.
    """
    manifest = releases.require_staged(session.host, release)
    if contract:
        _require_nobody_behind(session, release, manifest)
    unit = session.host.migration_unit(release)
    head = manifest["schema_head"]
    with session.journal.step("migrate", release, schema_head=head, contract=contract) as outcome:
        began = time.time()
        told = session.host.migration_settings(release)
        told.write_text(f"SHOP_MIGRATE_ARGUMENTS={'--contract' if contract else ''}\n", encoding="utf-8")
        started = session.systemd.start(unit, seconds)
        state = session.systemd.state(unit)
        outcome["unit_result"] = state.result
        if started.status is None:
            raise StepError(
                "migration-timeout",
                f"The migrations of {release} did not end within {seconds:g} s and are still running; "
                f"traffic is untouched. `journalctl -fu {unit}` watches them, "
                f"`slipway migrate {release}` waits again, `systemctl stop {unit}` ends them "
                "and rolls the open transaction back.",
                unit=unit,
            )
        if not started.ok or state.result != "success":
            raise _failed(
                session, unit, release, f"result {state.result}, status {state.exit_status}", started.tail(3)
            )
        moved = _moved(session.systemd.journal(unit, began))
        outcome.update(moved)
    result = {"release": release, "unit": unit, "schema_head": head, **moved}
    changed = not moved or moved["from"] != moved["to"]
    said = f"migrated to {moved.get('to', head)}" if changed else "nothing to migrate"
    if moved.get("held_back"):
        said += f"; held back: {', '.join(moved['held_back'])}"
    return Report(changed, result, f"Release {release}: {said}.")


def _require_nobody_behind(session: Session, release: str, manifest: dict[str, Any]) -> None:
    """Raises RefusedError when a release that could still be gone back to comes before a contracting revision."""
    chain = [(each["id"], each["kind"]) for each in manifest.get("schema_revisions") or []]
    ids = [name for name, _ in chain]
    for found in releases.installed(session.host):
        head = (found.manifest or {}).get("schema_head")
        if found.id == release or head not in ids or marks.read(session.host, found.id, marks.BAD):
            continue
        lost = [name for name, kind in chain[ids.index(head) + 1 :] if kind != "expand"]
        if lost:
            raise RefusedError(
                "old-shape-needed",
                f"Release {found.id} is kept on this host and needs what {lost[0]} takes away.",
                "Deploy once more, so that the release to go back to can do without; then: slipway prune --keep 1",
                release=found.id,
                revision=lost[0],
            )


def _failed(session: Session, unit: str, release: str, how: str, output: str) -> StepError:
    lines = session.systemd.journal(unit)
    shown = "\n".join(lines) or output
    return StepError(
        "migration-failed",
        f"The migrations of {release} failed ({unit}: {how}). The revision that failed was rolled back, "
        f"earlier ones stay; the live release keeps serving. The last lines of its journal:\n{shown}",
        unit=unit,
        journal=lines,
    )


def _moved(lines: list[str]) -> dict[str, Any]:
    """The revisions before and after, from the newest line that says them; empty when none does."""
    for line in reversed(lines):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and {"from", "to"} <= said.keys():
            return {name: said[name] for name in ("from", "to", "held_back") if name in said}
    return {}
