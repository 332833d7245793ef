"""Logs: one JSON object a line, for our events and for those of uvicorn, SQLAlchemy and Alembic alike."""

import json
import logging
import logging.config
import os
import re
import sys
from datetime import datetime, timezone
from importlib import resources
from itertools import islice
from reprlib import Repr
from typing import Any, BinaryIO, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# journald splits lines above 48 KiB and rsyslog's default message ends at 8 KiB.
LONGEST_EXCEPTION = 5000
LONGEST_VALUE = 2000
# What stands where a text is cut may be half a secret: so much more is read than is kept.
MARGIN = 300
LONGEST_NAME = 100
MOST_MEMBERS = 100
LONGEST_LINE = 8000
DEEPEST_VALUE = 4
REDACTED = "[redacted]"
ACCESS_LOGGER = "shop.access"
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "error": logging.ERROR}
# Names of values nobody may read in a log, whoever logs them; hyphens and underscores are alike.
SECRET_NAME = re.compile(
    r"(authorization|cookie|passw(or)?d|passphrase|secret|token|(api|secret)[_-]?key(_previous)?|credential|dsn)s?\d*$",
    re.IGNORECASE,
)
# What the service itself says of a secret.
NOT_SECRET = ("set", "not set", None, True, False)
# The same inside a sentence or an address: name=value, "name": "value", Bearer value, //user:password@host.
# Strangers choose these texts: a name is bounded behind its word and not looked for before it.
SECRET_TEXT = re.compile(
    r"""(?P<name>(?:authorization|cookie|passw(?:or)?d|passphrase|secret|token|api[_-]?key)[\w-]{0,40}
           ["']?\s{0,9}[=:]\s{0,9}(?:(?:bearer|basic|digest)\s{1,9})?["']?)[^\s"'&;,}\])]+
      | (?P<scheme>\b(?:bearer|basic)\s{1,9})[A-Za-z0-9._~+/=-]{8,}
      | (?P<user>://[^\s/:@]{0,64}:)[^\s/@]+(?=@)""",
    re.IGNORECASE | re.VERBOSE,
)
# JSON escapes C0; these also end a line, hide text or turn it round where a log is read.
UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

_OUTLINE = Repr()
_OUTLINE.maxdict = _OUTLINE.maxlist = MOST_MEMBERS
_OUTLINE.maxstring = _OUTLINE.maxother = LONGEST_VALUE


class _Release:
    """Adds the release id to every event."""

    def __init__(self, release: str) -> None:
        self.release = release

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["release"] = self.release
        return event


def redact_text(text: str) -> str:
    """`text` without the secrets one can recognise in it."""
    # Every form has one of these two characters, or a scheme's name before a blank.
    if "=" not in text and ":" not in text and " " not in text:
        return text
    return SECRET_TEXT.sub(
        lambda found: (found["name"] or found["scheme"] or found["user"] or "") + REDACTED, text
    )


def _is_secret(name: object, value: Any) -> bool:
    return SECRET_NAME.search(str(name)[-LONGEST_NAME:]) is not None and value not in NOT_SECRET


def _redact_long(text: str) -> str:
    return _bound(redact_text(text[: LONGEST_VALUE + MARGIN]), LONGEST_VALUE)


def redact(value: Any, depth: int = 0) -> Any:
    """`value` without secrets, over-long text and all but the first hundred members, four levels deep.

    What is not JSON becomes text.
    """
    if isinstance(value, str):
        return _redact_long(value)
    if isinstance(value, bytes):
        return _redact_long(value[: LONGEST_VALUE + MARGIN].decode("utf-8", "replace"))
    if depth == DEEPEST_VALUE:
        return _redact_long(_OUTLINE.repr(value)) if isinstance(value, dict | list) else value
    if isinstance(value, dict):
        return {
            key: redact(inner, depth + 1) if not _is_secret(key, inner) else REDACTED
            for key, inner in islice(value.items(), MOST_MEMBERS)
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(inner, depth + 1) for inner in islice(value, MOST_MEMBERS)]
    if value is None or isinstance(value, bool | int | float | datetime):
        return value
    return _redact_long(str(value))


def _bound(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "…"


def _without_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    exception = event.pop("exception", None)
    internal = {key: event.pop(key) for key in ("_record", "_from_structlog") if key in event}
    event = {**redact(event), **internal}
    if isinstance(exception, str):
        shown = redact_text(exception[-LONGEST_EXCEPTION - MARGIN :])
        # The end of a traceback names the error; the beginning is the server's own frames.
        event["exception"] = shown if len(shown) <= LONGEST_EXCEPTION else "… " + shown[-LONGEST_EXCEPTION:]
    return event


def _timestamp(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    # orjson writes it, at a fraction of what formatting it costs.
    event["timestamp"] = datetime.now(timezone.utc)
    return event


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def _drop_color_message(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)
    return event


def _serialise(event: EventDict) -> bytes:
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)
    except TypeError:
        # A lone surrogate, or an integer beyond 64 bits: rather a clumsy line than none.
        return json.dumps(event, default=_as_text).encode()


def _dumps(event: EventDict, **_: Any) -> bytes:
    line = _serialise(event)
    if len(line) > LONGEST_LINE:
        longest = LONGEST_LINE // 32
        short = {
            str(key)[:64]: _bound(value if isinstance(value, str) else repr(value), longest)
            if isinstance(value, str | dict | list | tuple) and key != "exception"
            else value
            for key, value in list(event.items())[:24]
        }
        line = _serialise({**short, "truncated": True})
    return _safe(line)


def _safe(line: bytes) -> bytes:
    if line.isascii() and b"\x7f" not in line:
        return line
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", line.decode()).encode()


class AccessLog:
    """Writes a request's line past the processors that other events go through, which cost more.

    Its fields are few, known and short, and the middleware has seen to them.
    """

    def __init__(self, stream: BinaryIO, release: str, threshold: int) -> None:
        self.stream = stream
        self.threshold = threshold
        # What all lines of a level end with.
        same = {"event": "request", "logger": ACCESS_LOGGER, "release": release}
        self._ends = {level: b"," + orjson.dumps({**same, "level": level})[1:] + b"\n" for level in LEVELS}

    def write(self, level: Literal["debug", "info", "error"], fields: EventDict) -> None:
        """One line with these fields, unless the level is below the configured one."""
        if LEVELS[level] < self.threshold:
            return
        fields["timestamp"] = datetime.now(timezone.utc)
        self.stream.write(_safe(_serialise(fields))[:-1] + self._ends[level])
        self.stream.flush()


def access_log() -> AccessLog:
    """The access log of this process, as configure_logging set it up."""
    return _access_log


_access_log = AccessLog(sys.stdout.buffer, os.environ.get("SHOP_RELEASE", "unreleased"), logging.INFO)


def processors(release: str, *further: Processor) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        _timestamp,
        _Release(release),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        *further,
        _without_secrets,
    ]


def json_formatter(release: str | None = None) -> logging.Formatter:
    """The formatter that logging.json names; it also serves uvicorn's parent process, which loads no app."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            *processors(
                release or os.environ.get("SHOP_RELEASE", "unreleased"),
                structlog.stdlib.ExtraAdder(),
                _drop_color_message,
            ),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            lambda logger, method, event: _dumps(event).decode(),
        ],
    )


def write_access_lines_to(log: AccessLog) -> None:
    """Make `log` the access log of this process."""
    global _access_log
    _access_log = log


def configure_logging(level: str, release: str, stream: Literal["stdout", "stderr"] = "stdout") -> None:
    """Send every logger of this process to `stream`, from `level` (debug, info, warning, error) upwards."""
    config = json.loads(resources.files("shop.core").joinpath("logging.json").read_text(encoding="utf-8"))
    config["formatters"]["json"]["release"] = release
    config["handlers"]["stdout"]["stream"] = f"ext://sys.{stream}"
    config["root"]["level"] = level.upper()
    logging.config.dictConfig(config)
    logging.captureWarnings(True)
    number = logging.getLevelName(level.upper())
    write_access_lines_to(AccessLog(getattr(sys, stream).buffer, release, number))
    structlog.configure(
        # Our own events skip the standard library: a third of the cost per access line.
        processors=[*processors(release), structlog.processors.JSONRenderer(serializer=_dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(getattr(sys, stream).buffer),
        cache_logger_on_first_use=True,
    )
