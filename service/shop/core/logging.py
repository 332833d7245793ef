"""Logs: one JSON object a line, for our events and for those of uvicorn, SQLAlchemy and Alembic alike."""

import json
import logging
import logging.config
import os
import sys
from importlib import resources
from typing import Any, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# journald splits lines above 48 KiB and rsyslog's default message ends at 8 KiB.
LONGEST_EXCEPTION = 6000


class _Release:
    """Adds the release id to every event."""

    def __init__(self, release: str) -> None:
        self.release = release

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["release"] = self.release
        return event


def _bound_exception(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    exception = event.get("exception")
    if isinstance(exception, str) and len(exception) > LONGEST_EXCEPTION:
        # The end of a traceback names the error; the beginning is the server's own frames.
        event["exception"] = "… " + exception[-LONGEST_EXCEPTION:]
    return event


def _drop_color_message(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)
    return event


def _dumps(event: EventDict, **_: Any) -> bytes:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)


def _processors(release: str) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Release(release),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _bound_exception,
    ]


def json_formatter(release: str | None = None) -> logging.Formatter:
    """The formatter that logging.json names; it also serves uvicorn's parent process, which loads no app."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            *_processors(release or os.environ.get("SHOP_RELEASE", "unreleased")),
            structlog.stdlib.ExtraAdder(),
            _drop_color_message,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            lambda logger, method, event: _dumps(event).decode(),
        ],
    )


def configure_logging(level: str, release: str, stream: Literal["stdout", "stderr"] = "stdout") -> None:
    """Send every logger of this process to `stream`, from `level` (debug, info, warning, error) upwards."""
    config = json.loads(resources.files("shop.core").joinpath("logging.json").read_text(encoding="utf-8"))
    config["formatters"]["json"]["release"] = release
    config["handlers"]["stdout"]["stream"] = f"ext://sys.{stream}"
    config["root"]["level"] = level.upper()
    logging.config.dictConfig(config)
    logging.captureWarnings(True)
    number = logging.getLevelName(level.upper())
    structlog.configure(
        # Our own events skip the standard library: a third of the cost per access line.
        processors=[*_processors(release), structlog.processors.JSONRenderer(serializer=_dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(getattr(sys, stream).buffer),
        cache_logger_on_first_use=True,
    )
