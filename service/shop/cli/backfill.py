"""`shop backfill run|pause|resume NAME`, `shop backfill status [NAME]`: rows changed in batches."""

import asyncio
import time
from argparse import ArgumentParser, Namespace
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from shop.cli.output import EX_FAILED, EX_TEMPFAIL, CommandError, say, speaking_of
from shop.core import backfill as backfills
from shop.core.backfill import Backfill, BackfillError, Step
from shop.core.backfill_standing import standing
from shop.core.configuration import load_settings
from shop.core.database import create_engine
from shop.core.logging import configure_logging
from shop.settings import MaintenanceSettings

# The backfills of this release, by name; a domain declares its own and is named here.
DECLARED: dict[str, Backfill] = {}
TOLD_EVERY = 5.0
# As argparse ends for a wrong word.
EX_USAGE = 2

log = structlog.get_logger("shop.backfill")


def arguments(parser: ArgumentParser) -> None:
    """The arguments of backfill."""
    parser.add_argument("do", choices=["run", "status", "pause", "resume"])
    parser.add_argument(
        "name", nargs="?", help="a backfill that this release declares; status of all of them without it"
    )


class Progress:
    """Tells of the batches in the log, not more often than every five seconds."""

    def __init__(self) -> None:
        self._told = float("-inf")

    def __call__(self, step: Step) -> None:
        if time.monotonic() - self._told < TOLD_EVERY:
            return
        self._told = time.monotonic()
        left = None if step.seconds_left is None else round(step.seconds_left)
        log.info(
            "backfill_progress",
            rows_done=step.rows_done,
            rows_per_second=round(step.rate),
            seconds_left=left,
            lock_waits=step.load.waiting,
            active_sessions=step.load.active,
            rested_seconds=round(step.rested, 2),
        )


def _declared(name: str) -> Backfill:
    if name not in DECLARED:
        known = ", ".join(sorted(DECLARED)) or "none"
        sentence = f"There is no backfill {name!r} in this release; it declares {known}. Nothing was changed."
        raise CommandError(EX_FAILED, sentence)
    return DECLARED[name]


async def _perform(engine: AsyncEngine, do: str, chosen: Backfill) -> dict[str, Any]:
    try:
        if do in ("pause", "resume"):
            await backfills.set_paused(engine, chosen.name, do == "pause")
        if do in ("run", "resume"):
            ended = await backfills.run(engine, chosen, Progress())
            if ended == "paused" and do == "run":
                log.warning("backfill_paused", go_on=f"shop backfill resume {chosen.name}")
        return await backfills.status(engine, chosen.name) or {"name": chosen.name, "running": False}
    finally:
        await engine.dispose()


async def _all(settings: MaintenanceSettings) -> dict[str, Any]:
    engine = create_engine(settings)
    try:
        return {"backfills": await standing(engine, DECLARED)}
    finally:
        await engine.dispose()


def backfill(chosen: Namespace) -> int:
    """Run a backfill, say how far it is, pause it after its present batch, or let it go on; print its row."""
    if not chosen.name:
        return _status_of_all(chosen.do)
    declared = _declared(chosen.name)
    settings = load_settings(MaintenanceSettings)
    configure_logging(settings.log_level, settings.release, stream="stderr")
    with speaking_of(settings, f"The backfill {declared.name}"):
        try:
            row = asyncio.run(_perform(create_engine(settings), chosen.do, declared))
        except BackfillError as error:
            raise CommandError(EX_TEMPFAIL, str(error)) from None
    say(row)
    return 0


def _status_of_all(do: str) -> int:
    if do != "status":
        raise CommandError(EX_USAGE, f"Which backfill? Type: shop backfill {do} NAME. Nothing was changed.")
    settings = load_settings(MaintenanceSettings)
    configure_logging(settings.log_level, settings.release, stream="stderr")
    with speaking_of(settings, "The status of the backfills"):
        say(asyncio.run(_all(settings)))
    return 0
