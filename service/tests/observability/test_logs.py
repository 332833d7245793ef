"""Log lines: one object a line whatever was sent, the fields an operator searches, no secret."""

import io
import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from shop.core.logging import LONGEST_LINE, json_formatter, redact, redact_text

pytestmark = pytest.mark.differs("a traceback's form is the interpreter's")

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def foreign() -> tuple[logging.Logger, Lines]:
    """A logger of somebody else's, and what became of its lines."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(json_formatter("release-1"))
    logger = logging.Logger("library.part")
    logger.addHandler(handler)
    return logger, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def ours() -> tuple[Any, Callable[[], bytes]]:
    """A logger of ours, and the bytes it wrote."""
    stream = io.BytesIO()
    return structlog.wrap_logger(structlog.BytesLoggerFactory(stream)("shop.test")), stream.getvalue


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        ("GET /x?token=abcdef0123 HTTP/1.1", "abcdef0123"),
        ("connecting to postgresql://shop:hunter22@db/shop", "hunter22"),
        ("sent Authorization: Bearer abcdef0123456", "abcdef0123456"),
        ("sent authorization: basic c2hvcDpodW50ZXI=", "c2hvcDpodW50ZXI="),
        ("""{"password": "hunter22", "email": 1}""", "hunter22"),
        ("Cookie: session=abcdef; other=1", "session=abcdef"),
        ("refresh_token=abc123&x=1", "abc123"),
        ("api-key=abc123", "abc123"),
    ],
)
def test_a_secret_in_a_sentence_is_not_repeated(
    foreign: tuple[logging.Logger, Lines], said: str, secret: str
) -> None:
    logger, lines = foreign
    logger.warning("heard: %s", said)
    logger.warning("as a value", extra={"heard": said})
    for line in lines():
        assert secret not in json.dumps(line), line
        assert "[redacted]" in json.dumps(line), line


def test_a_secret_under_its_name_is_not_repeated_however_deep() -> None:
    value = {
        "headers": {"Authorization": "Bearer x", "cookie": "a=b", "Accept": "*/*"},
        "user": [{"password": "hunter22", "new_password": "hunter33", "name": "Ada"}],
        "refresh_token": "abc",
        "token_issuer": "shop",
        "secret_key": "set",
    }
    assert redact(value) == {
        "headers": {"Authorization": "[redacted]", "cookie": "[redacted]", "Accept": "*/*"},
        "user": [{"password": "[redacted]", "new_password": "[redacted]", "name": "Ada"}],
        "refresh_token": "[redacted]",
        "token_issuer": "shop",
        "secret_key": "set",
    }


@pytest.mark.parametrize("text", ["nothing here", "the token expired", "a password is required", "1:2 = 3"])
def test_what_only_speaks_of_secrets_is_left(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "hostile",
    [
        'a"}\n{"event":"forged","level":"info"}',
        "a\r\nb\x00c\x1b[31md\x7f",
        "line\u2028paragraph\u2029next\x85end",
        "\u202eright to left\u2066",
        "\ud800 alone",
        "\ufeffmark",
    ],
)
def test_no_text_breaks_out_of_its_line(ours: tuple[Any, Callable[[], bytes]], hostile: str) -> None:
    log, written = ours
    log.warning("heard", value=hostile)
    text = written().decode()
    assert len(text.splitlines()) == 1, text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]", text), text
    event = json.loads(text)
    assert event["event"] == "heard"
    assert event["value"] == hostile


def test_bytes_that_are_no_text_do_no_harm(ours: tuple[Any, Callable[[], bytes]]) -> None:
    log, written = ours
    log.warning("heard", value=b"\xff\xfe token=abcdef", number=2**70)
    event = json.loads(written())
    assert "abcdef" not in event["value"]
    assert event["value"].startswith("\ufffd")


@pytest.mark.parametrize(
    "fields",
    [
        {"value": "x" * 1_000_000},
        {f"value_{number}": "y" * 3000 for number in range(50)},
        {"value": [["z" * 100] * 100] * 10},
    ],
    ids=["one long value", "many values", "nested values"],
)
def test_a_line_ends_where_collectors_would_cut_it(
    ours: tuple[Any, Callable[[], bytes]], fields: dict[str, Any]
) -> None:
    log, written = ours
    log.warning("heard", **fields)
    line = written()
    assert len(line) <= LONGEST_LINE + 1
    event = json.loads(line)
    assert {"event", "level", "logger", "timestamp", "release"} <= set(event) or event.get("truncated")


def test_a_long_traceback_keeps_its_end(ours: tuple[Any, Callable[[], bytes]]) -> None:
    def deeper(depth: int) -> None:
        if depth == 0:
            raise ValueError("the end " + "x" * 100)
        deeper(depth - 1)

    log, written = ours
    try:
        deeper(200)
    except ValueError:
        log.exception("failed")
    line = written()
    assert len(line) <= LONGEST_LINE + 1
    assert "ValueError: the end" in json.loads(line)["exception"]
