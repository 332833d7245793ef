"""The values that slipway's words take: each converter refuses what is none, and is named in the refusal."""

from __future__ import annotations

import math
import re

from slipway.host import check_release_id

FENCES = 2**53
WORDS = 500
WORD = 2000
NONCE = re.compile(r"[0-9a-f]{16,64}")
PUBLIC = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:.]{2,45}")
PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/?%-]{0,500}")
SSHSIG = re.compile(r"[A-Za-z0-9+/]{1,8190}={0,2}")
PROCESS = re.compile(r"[0-9]{1,10}@[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or not 0 <= value <= 86400:
        raise ValueError(text)
    return value


def some_seconds(text: str) -> float:
    value = seconds(text)
    if value <= 0:
        raise ValueError(text)
    return value


def moment(text: str) -> float:
    """Seconds since 1970."""
    value = float(text)
    if not math.isfinite(value) or not 0 <= value <= 1e11:
        raise ValueError(text)
    return value


def percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise ValueError(text)
    return value


def number(lowest: int, highest: int, name: str) -> type:
    """A whole number, named in the refusal of another word."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,16}", text) or not lowest <= int(text) <= highest:
            raise ValueError(text)
        return int(text)

    convert.__name__ = name
    return convert  # type: ignore[return-value]


def line(text: str) -> str:
    """A line of text that may stand in a journal and on a terminal."""
    if not text.strip() or len(text) > WORDS or not text.isprintable():
        raise ValueError(text)
    return text


def word(text: str) -> str:
    """A word of a command; it stands in the journal."""
    if len(text) > WORD or not (text.isprintable() or text == ""):
        raise ValueError(text)
    return text


def process(text: str) -> str:
    if not PROCESS.fullmatch(text):
        raise ValueError(text)
    return text


def matching(pattern: re.Pattern[str], name: str) -> type:
    """A word of this form, named in the refusal of another."""

    def convert(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(text)
        return text

    convert.__name__ = name
    return convert  # type: ignore[return-value]


def expected(text: str) -> str:
    return text if text == "none" else check_release_id(text)


for _convert, _named in (
    (seconds, "number of seconds"),
    (some_seconds, "number of seconds"),
    (percent, "percentage"),
    (line, "line of text"),
    (word, "word of text"),
    (process, "process (PID@HOST)"),
):
    _convert.__name__ = _named

FENCE = number(1, FENCES, "fence")
HEX = matching(NONCE, "nonce")
HOST = matching(PUBLIC, "host name")
ASKED = matching(PATH, "path")
SIGNATURE = matching(SSHSIG, "signature")
