"""`slipway migrate`: the release's migrations, in its own unit, waited for."""

from __future__ import annotations

import json
import time
from typing import Any

from slipway import releases
from slipway.errors import StepError
from slipway.session import Report, Session


def migrate(session: Session, release: str, seconds: float) -> Report:
    """Runs the release's migration unit and waits at most seconds for it.

    changed is what the unit's last lines say, {"from": revision, "to": revision}; without them it is true.
    """
    manifest = releases.require_staged(session.host, release)
    unit = session.host.migration_unit(release)
    with session.journal.step("migrate", release, schema_head=manifest["schema_head"]) as outcome:
        began = time.time()
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
    result = {"release": release, "unit": unit, "schema_head": manifest["schema_head"], **moved}
    changed = not moved or moved["from"] != moved["to"]
    said = f"migrated to {manifest['schema_head']}" if changed else "nothing to migrate"
    return Report(changed, result, f"Release {release}: {said}.")


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
            return {"from": said["from"], "to": said["to"]}
    return {}
