"""What strangers send costs in proportion to its length, and is bounded before anything reads it."""

import ast
import contextlib
import importlib
import json
import pkgutil
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from slipway_migrator.blockers import without_values
from starlette.requests import Request

import shop
from conftest import Database, Serve
from shop.auth.schemas import LoginForm
from shop.auth.tokens import InvalidToken, Tokens
from shop.core.errors import AppError
from shop.core.etag import is_unchanged
from shop.core.json_body import LARGEST_FORM, parse
from shop.core.limits import network_of
from shop.core.logging import LONGEST_VALUE, redact, redact_text
from shop.users.service import normalise_email

if sys.version_info >= (3, 11):
    from re import _parser as sre_parse
else:
    import sre_parse

pytestmark = pytest.mark.anyio

# Four times the text may cost four times as much; sixteen is a square, sixty-four a cube.
MOST_FOR_FOUR_TIMES = 9
MEASURABLE_SECONDS = 0.001
# What costs less than a millisecond at the last of them has no square in it.
LENGTHS = (64, 256, 1024, 4096)
CHARACTERS = "a0 -_.:/='\",;@%\\\t\n\x00*$[{"
ENDS = ("", ":", "@", "!\n", "\\")


def _seconds(call: Callable[[str], object], text: str, tries: int = 5) -> float:
    """The CPU of this thread, the least of several: what else the machine does is not counted."""
    best = float("inf")
    for _ in range(tries):
        start = time.thread_time()
        call(text)
        best = min(best, time.thread_time() - start)
        if best > 0.5:
            break
    return best


def costs_more_than_its_length(call: Callable[[str], object], repeated: str, end: str) -> str | None:
    """How the cost of `repeated` over and over grows, None when it is in proportion to its length."""
    for length in LENGTHS:
        text = repeated * (length // len(repeated) + 1) + end
        if _seconds(call, text, 1) < MEASURABLE_SECONDS:
            continue
        seconds = _seconds(call, text, 3)
        longer = _seconds(call, repeated * (4 * length // len(repeated) + 1) + end, 3)
        if longer > MOST_FOR_FOUR_TIMES * seconds:
            return (
                f"{repeated!r} to {length} and {end!r}: {seconds:.4f} s, four times as long: {longer:.4f} s"
            )
        return None
    return None


def _modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(shop.__path__, "shop."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def _patterns() -> dict[str, "re.Pattern[Any]"]:
    return {
        f"{module.__name__}.{name}": value
        for module in _modules()
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    }


def _literals(pattern: "re.Pattern[Any]") -> set[str]:
    """The words a pattern looks for: a text made of them takes it furthest."""
    words, word = set(), ""

    def visit(parsed: Any) -> None:
        nonlocal word
        for operation, argument in parsed:
            if str(operation) == "LITERAL":
                word += chr(argument)
                continue
            words.add(word)
            word = ""
            for part in argument if isinstance(argument, (list, tuple)) else ():
                for branch in part if isinstance(part, list) else [part]:
                    if isinstance(branch, sre_parse.SubPattern):
                        visit(branch)
                        words.add(word)
                        word = ""

    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    visit(sre_parse.parse(text, pattern.flags & ~re.UNICODE & ~re.DEBUG))
    words.add(word)
    return words - {""}


@pytest.mark.parametrize("name", sorted(_patterns()))
def test_every_regular_expression_costs_in_proportion_to_the_text(name: str) -> None:
    pattern = _patterns()[name]
    as_bytes = isinstance(pattern.pattern, bytes)

    def look(text: str) -> None:
        value: Any = text.encode() if as_bytes else text
        pattern.fullmatch(value)
        for _ in pattern.finditer(value):
            pass

    shapes = [
        *CHARACTERS,
        *_literals(pattern),
        *(word + mark for word in _literals(pattern) for mark in "= :"),
    ]
    slow = [
        found for shape in shapes for end in ENDS if (found := costs_more_than_its_length(look, shape, end))
    ]
    assert not slow, slow


def test_the_measure_sees_a_square() -> None:
    squared = re.compile(r"\w*!")
    assert costs_more_than_its_length(lambda text: squared.search(text), "a", "")


def test_no_regular_expression_hides_in_a_function() -> None:
    hidden = []
    for path in Path(shop.__path__[0]).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in (
            node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ):
            hidden += [
                f"{path.name}:{call.lineno}"
                for call in ast.walk(function)
                if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("re.")
            ]
    assert not hidden, f"compile these at the top of their module, where their cost is tested: {hidden}"


def _headers_of(text: str) -> Request:
    return Request({"type": "http", "headers": [(b"if-none-match", text.encode("latin-1", "replace"))]})


def _json_text(text: str) -> None:
    with contextlib.suppress(AppError):
        parse(json.dumps({text: [text]}).encode())


def _json_values(text: str) -> None:
    with contextlib.suppress(AppError):
        parse(text.encode("utf-8", "replace"))


READERS: dict[str, Callable[[str], object]] = {
    "a text in the log": redact_text,
    "a value in the log": lambda text: redact({"value": text, text: [[[[text]]]]}),
    "If-None-Match": lambda text: is_unchanged(_headers_of(text), 'W/"1"'),
    "an address for the limit": network_of,
    "an email address": normalise_email,
    "a query of another session": without_values,
    "a text in JSON": _json_text,
    "a body that is to be JSON": _json_values,
}
SHAPES = [
    *CHARACTERS,
    "token",
    "token=",
    "bearer ",
    "://a:",
    '"a",',
    "e'",
    "/*",
    "$a$",
    "1,",
    '{"a":',
    "ﷺ",
    "W/",
]


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_costs_in_proportion_to_the_text(reader: str) -> None:
    slow = [
        found
        for shape in SHAPES
        for end in ENDS
        if (found := costs_more_than_its_length(READERS[reader], shape, end))
    ]
    assert not slow, slow


def test_a_value_for_the_log_is_cut_before_it_is_read() -> None:
    def value(characters: int) -> Callable[[str], object]:
        return lambda _: redact({"value": "token:" * (characters // 6)})

    assert len(redact("x" * 10_000_000)) == LONGEST_VALUE + 1
    short, long = _seconds(value(6_000), ""), _seconds(value(6_000_000), "")
    assert long < 10 * short + 0.05, (short, long)


def test_a_secret_where_a_long_text_is_cut_is_not_repeated_either() -> None:
    for filler in range(LONGEST_VALUE - 80, LONGEST_VALUE + 20):
        text = redact(
            "x" * filler + " postgresql://shop:hunter22hunter22@db/shop password=hunter33 end " + "y" * 400
        )
        assert "hunter" not in text


async def test_a_token_is_measured_before_it_is_read(shared_database: Database) -> None:
    tokens = Tokens(shared_database.settings())

    def read(text: str) -> None:
        with pytest.raises(InvalidToken):
            tokens.read("access", text)

    assert _seconds(read, "a." * 5_000_000) < 0.05


HOSTILE_PATHS = [
    "/" + "token" * 102 + ":",
    "/" + "token" * 101 + "_=",
    "/" + "a" * 509 + ":",
    "/" + "password-" * 56 + "=",
    "/api/v1/products/" + "secret:" * 70,
    "/" + "://a:" * 102,
    "/" + "-" * 500 + " bearer",
]


@pytest.mark.parametrize("path", HOSTILE_PATHS)
async def test_a_hostile_path_costs_a_few_ordinary_ones(reader: httpx2.AsyncClient, path: str) -> None:
    async def seconds(path: str) -> float:
        best = float("inf")
        for _ in range(20):
            start = time.thread_time()
            response = await reader.get(httpx2.URL("http://shop.test").copy_with(raw_path=path.encode()))
            best = min(best, time.thread_time() - start)
            assert response.status_code in (404, 422)
        return best

    ordinary = await seconds("/" + "product/" * 60)
    assert await seconds(path) < 3 * ordinary


async def test_a_form_is_refused_before_its_fields_are_read(shared_database: Database, serve: Serve) -> None:
    async with serve(shared_database.settings()) as client:
        response = await client.post(
            "/api/v1/auth/login",
            content=b"&a=" * (LARGEST_FORM // 3 + 1),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"


def test_the_longest_honest_form_is_read() -> None:
    fields = [field.metadata for field in LoginForm.model_fields.values() if field.metadata]
    # Each character may be four bytes of UTF-8, and each byte three characters of the form.
    assert sum(metadata[0].max_length for metadata in fields) * 4 * 3 + 1000 < LARGEST_FORM
