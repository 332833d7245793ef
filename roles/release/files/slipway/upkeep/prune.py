"""`slipway prune`: the oldest releases make room; none that serves or that one could go back to."""

from __future__ import annotations

from pathlib import Path

from slipway.files import fsync_directory, remove
from slipway.host import Host
from slipway.releases import environment, kept, marks, wheel_store
from slipway.releases.stage import half_built, sweep
from slipway.systemd import UnitState
from slipway.traffic import further, warm
from slipway.traffic.settle import unit_states
from slipway.turns.session import Report, Session


def prune(session: Session, keep: int) -> Report:
    """keep: how many of the newest complete releases stay; those that must stay come on top."""
    host = session.host
    states = unit_states(session)
    filling = session.systemd.backfills(states)
    complete = [found.id for found in kept.installed(host) if found.manifest is not None]
    staying = set(complete[-keep:]) | _protected(host, complete, states)
    # Its program goes on, though another release has the traffic by now.
    staying |= {name for name, state in filling.items() if not state.idle}
    staying |= {name.partition(":")[0] for name, state in further.states(session).items() if not state.idle}
    removing = [name for name in complete if name not in staying]
    live = kept.live(host)
    swept = [name for name in half_built(host) if name != live]
    result = {"removed": removing + swept, "kept": [name for name in complete if name in staying]}
    if not (removing or swept or any(_unneeded(host)) or session.journal.broken_off("prune")):
        return Report(False, result, f"{len(complete)} releases, none to remove; nothing was changed.")
    with session.journal.step("prune", removed=removing) as outcome:
        for name in removing:
            remove_release(session, name, states.get(name))
        sweep(session)
        environments, wheels = _unneeded(host)
        environment.take_away(environments)
        for path in wheels:
            remove(path)
        outcome.update(environments=[path.name for path in environments], wheels=len(wheels))
    return Report(True, result, f"Removed {len(result['removed'])} releases, kept {len(result['kept'])}.")


def _unneeded(host: Host) -> tuple[list[Path], list[Path]]:
    """Environments and wheels that no release here needs; none while it cannot be told what one of them needs."""
    manifests = kept.manifests(host)
    if manifests is None:
        return [], []
    return environment.unneeded(host, manifests), wheel_store.unneeded(host, manifests)


def _protected(host: Host, complete: list[str], states: dict[str, UnitState]) -> set[str]:
    """The live one, the warm one, whatever runs or is starting, and the newest that one would go back to."""
    live, kept_warm = kept.live(host), warm.read(host)
    found = {name for name, state in states.items() if not state.idle}
    found |= {name for name in (live, kept_warm.release if kept_warm else None) if name}
    verified = [name for name in complete if name != live and _is_target(host, name)]
    return found | set(verified[-1:])


def _is_target(host: Host, release: str) -> bool:
    bad, verified = (marks.read(host, release, mark) for mark in (marks.BAD, marks.VERIFIED))
    return verified is not None and bad is None


def remove_release(session: Session, release: str, state: UnitState | None) -> None:
    """Without its manifest it is half-built: whatever a kill leaves of it, the next sweep removes."""
    directory = session.host.release(release)
    if state is not None and state.enabled:
        session.systemd.disable(session.host.unit(release))
    (directory / kept.MANIFEST).unlink(missing_ok=True)
    fsync_directory(directory)
    remove(directory)
