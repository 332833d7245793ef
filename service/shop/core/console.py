"""Logs for a person at a terminal, in the environment `development`: one short line an event."""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shop.core.logging import AccessLog, processors, write_access_lines_to

# What every line would repeat.
REPEATED = ("release", "request_id")


class _ConsoleAccess(AccessLog):
    """A request's line as a person reads it."""

    def write(self, level: Literal["debug", "info", "error"], fields: EventDict) -> None:
        took = f"{1000 * fields['duration']:.1f} ms"
        line = f"{fields['status']} {fields['method']} {fields['path']} ({took})"
        getattr(structlog.get_logger("shop.access"), level)(line)


def _shorten(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["timestamp"] = event["timestamp"].astimezone().strftime("%H:%M:%S")
    return {name: value for name, value in event.items() if name not in REPEATED}


def log_to_console(level: str) -> None:
    """Send every logger of this process to stderr, from `level` upwards, in colours on a terminal."""
    number = logging.getLevelName(level.upper())
    chain: list[Processor] = [*processors("development"), _shorten]
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=number, force=True)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    write_access_lines_to(_ConsoleAccess(sys.stderr.buffer, "development", number))
