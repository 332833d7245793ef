"""Hostile requests byte by byte, as no client library would send them: H1, H8, H9, H10, H13.

What the HTTP parser itself refuses is answered by the server with a bare 400, before there is a request that
could have an id or a line of its own. Everything else is answered in the one shape.
"""

import json
import re
import socket
import time
import zlib
from pathlib import Path

import pytest

from conftest import run
from shop.core.errors import Problem
from stage import Stage

PRODUCTS = b"/api/v1/products"
LIVE = b"/health/live"
LIMIT = 65_536
JSON = b"Content-Type: application/json\r\n"
HOST = b"Host: shop.test\r\n"


def ask(stage: Stage, request: bytes) -> tuple[int, bytes, bytes]:
    """Status, head and body of the answer to exactly these bytes; it must come within 10 s."""
    start = time.perf_counter()
    answer = stage.service.raw(request)
    assert answer, "no answer"
    assert time.perf_counter() - start < 10
    head, _, body = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    assert status, answer[:200]
    return int(status[1]), head, body


def get(path: bytes, *headers: bytes, method: bytes = b"GET", host: bytes = HOST) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return method + b" " + path + b" HTTP/1.1\r\n" + host + lines + b"Connection: close\r\n\r\n"


def problem_of(body: bytes) -> Problem:
    return Problem.model_validate_json(body)


def value_of(head: bytes, name: bytes) -> bytes | None:
    found = re.search(rb"(?im)^" + name + rb": ([^\r\n]*)\r?$", head)
    return found[1] if found else None


def resident_kib(stage: Stage) -> int:
    (worker,) = stage.service.workers() or [stage.service.process.pid]
    status = Path(f"/proc/{worker}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1])


def test_a_declared_length_beyond_the_limit_is_refused_before_a_byte_of_it_comes(stage: Stage) -> None:
    headers = HOST + JSON + b"Connection: close\r\n"
    for length in (LIMIT + 1, 10**9, 10**17):
        request = b"POST /api/v1/users HTTP/1.1\r\n" + headers + b"Content-Length: %d\r\n\r\n" % length
        status, _, body = ask(stage, request)
        assert status == 413
        assert problem_of(body).code == "body_too_large"


def test_a_body_without_length_is_cut_and_leaves_no_trace_in_memory(stage: Stage) -> None:
    before = resident_kib(stage)
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    for media_type in (b"application/json", b"application/x-www-form-urlencoded"):
        path = b"/api/v1/users" if media_type == b"application/json" else b"/api/v1/auth/login"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(stage.service.socket))
            connection.sendall(
                b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Content-Type: " + media_type + b"\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            for _ in range(3):
                connection.sendall(chunk)
            assert connection.recv(13) == b"HTTP/1.1 413 "
            # 48 MiB more that nobody asked for: read, dropped, not kept.
            try:
                for _ in range(768):
                    connection.sendall(chunk)
            except OSError:
                pass
    assert resident_kib(stage) - before < 16_384


def test_a_body_that_never_ends_holds_nobody_else(stage: Stage) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(stage.service.socket))
        connection.sendall(b"POST /api/v1/users HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: 100\r\n\r\n{")
        status, _, _ = ask(stage, get(LIVE))
        assert status == 200
    # The connection is gone with its body half sent: that is no fault of the service.
    assert ask(stage, get(LIVE))[0] == 200
    assert stage.faults() == []


@pytest.mark.parametrize(
    "given",
    [
        b"line-feed\n injected: 1",
        b"carriage\rreturn",
        b"id with spaces",
        b"'; DROP TABLE logs; --",
        b'{"level": "error"}',
        b"\x1b[31mred\x1b[0m",
        b"%0d%0aSet-Cookie: a=b",
        b"\xc3\xa9\xff",
        b"x" * 20_000,
        b"",
    ],
)
def test_a_request_id_from_outside_is_clean_or_replaced(stage: Stage, given: bytes) -> None:
    status, head, body = ask(stage, get(PRODUCTS, b"X-Request-ID: " + given))
    answered = value_of(head, b"x-request-id")
    if status == 400 and answered is None:
        return  # The parser refused the bytes.
    assert status == 200, body
    assert answered
    assert re.fullmatch(rb"[A-Za-z0-9._-]{8,64}", answered)
    assert answered != given
    assert b"set-cookie" not in head.lower()
    assert b"injected" not in head.lower()
    assert stage.lines({answered.decode()}) == {answered.decode(): 1}


def test_a_megabyte_of_a_header_is_refused(stage: Stage) -> None:
    answer = stage.service.raw(get(LIVE, b"X-Request-ID: " + b"x" * 1_000_000))
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")), answer[:100]
    assert ask(stage, get(LIVE))[0] == 200


@pytest.mark.parametrize(
    "target",
    [
        b"http://evil.example.com/api/v1/products",
        b"http://evil.example.com:99999/health/live",
        b"//evil.example.com/health/live",
        b"/health/live/../../etc/passwd",
        b"/%2e%2e/%2e%2e/etc/passwd",
        b"/health/live%00.txt",
        b"/\xff\xfe",
        b"*",
        b"/.git/config",
        b"/api/v1/products/..;/users",
        b"/API/V1/PRODUCTS",
        b"/api/v1/products#fragment",
        b"/?" + b"a=1&" * 5000,
    ],
)
def test_no_target_leads_anywhere_it_should_not(stage: Stage, target: bytes) -> None:
    status, head, body = ask(stage, get(target))
    assert status in (200, 400, 404, 405, 422), body
    assert b"location" not in head.lower(), head
    assert b"root:" not in body
    if status >= 400 and value_of(head, b"x-request-id"):
        assert problem_of(body).status == status


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example.com",
        b"shop.test@evil.example.com",
        b"evil.example.com/api",
        b"",
        b"[::1",
        b"a" * 5000,
        b"\xff",
    ],
)
def test_no_answer_repeats_the_host_it_was_asked_for(stage: Stage, host: bytes) -> None:
    for path in (PRODUCTS + b"?limit=1", b"/nowhere"):
        status, head, body = ask(stage, get(path, host=b"Host: " + host + b"\r\n"))
        assert status in (200, 400, 404), body
        assert b"evil" not in head + body


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT", b"PROPFIND", b"OPTIONS", b"DELETE"])
def test_a_method_that_is_not_there_is_refused(stage: Stage, method: bytes) -> None:
    status, head, _ = ask(stage, get(PRODUCTS, method=method))
    assert status in (400, 404, 405), head
    if status == 405:
        assert b"GET" in (value_of(head, b"allow") or b"")


def test_a_page_without_origin_is_not_let_in(stage: Stage) -> None:
    for origin in (b"null", b"https://evil.example.com", b"file://", b"https://shop.test\x1f"):
        status, head, _ = ask(stage, get(PRODUCTS, b"Origin: " + origin))
        assert status in (200, 400)
        assert value_of(head, b"access-control-allow-origin") is None
        _, head, _ = ask(
            stage,
            get(PRODUCTS, b"Origin: " + origin, b"Access-Control-Request-Method: POST", method=b"OPTIONS"),
        )
        assert value_of(head, b"access-control-allow-origin") is None


def test_no_answer_sets_a_cookie_and_no_cookie_signs_anybody_in(stage: Stage) -> None:
    token = stage.headers["user"]["Authorization"].removeprefix("Bearer ").encode()
    for path in (PRODUCTS, b"/api/v1/users/me", LIVE, b"/nowhere"):
        cookies = b"Cookie: access_token=" + token + b"; session=1"
        status, head, body = ask(stage, get(path, cookies))
        assert b"set-cookie" not in head.lower()
        if path.endswith(b"/me"):
            assert status == 401, body


FORGED = b'", "level": "critical", "event": "forged'


@pytest.mark.parametrize(
    "path",
    [
        b"/%1b%5b2J%1b%5d0;owned%07",
        b"/a%0a%7b%22event%22:%22forged%22%7d",
        b"/a%0d%0aforged",
        b"/%e2%80%ae%e2%80%a8%c2%85gnp",
        b"/%n%s%x",
        b"/%ff%fe%80",
        b"/" + FORGED.replace(b" ", b"%20").replace(b'"', b"%22"),
        b"/" + b"n" * 60_000,
    ],
)
def test_a_path_makes_one_line_that_cannot_be_forged(stage: Stage, path: bytes) -> None:
    request_id = f"path-{zlib.crc32(path):010d}"
    before = stage.service.output.stat().st_size
    status, _, _ = ask(stage, get(path, b"X-Request-ID: " + request_id.encode()))
    assert status == 404
    assert stage.lines({request_id}) == {request_id: 1}
    written = stage.service.output.read_bytes()[before:]
    (line,) = [line for line in written.split(b"\n") if request_id.encode() in line]
    assert len(line) < 4000
    text = line.decode()
    assert text.isprintable(), "a terminal would act on this line"
    event = json.loads(line)
    assert event["event"] == "request"
    assert event["level"] == "info"
    assert len(event["path"]) <= 520


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Forwarded-For", b"'\"\\;\x7f, ,,"),
        (b"X-Forwarded-For", b"\x1b[31m, 192.0.2.1"),
        (b"X-Forwarded-For", b'192.0.2.1", "user_id": "admin'),
        (b"X-Forwarded-For", b"1" * 20_000),
        (b"X-Forwarded-Proto", b"javascript"),
        (b"User-Agent", b"\x1b[2J() { :; }; /bin/id"),
        (b"Authorization", b"Bearer \x1b[2J.\xff.\xfe"),
        (b"Authorization", b"Basic " + b"x" * 10_000),
        (b"Authorization", b""),
        (b"Idempotency-Key", b"'; DROP TABLE orders; --"),
        (b"If-None-Match", b'"' + b"\xff" * 1000),
        (b"Accept", b"text/html;q=\xff"),
        (b"Expect", b"200-maybe"),
        (b"Range", b"bytes=0-,0-,0-"),
        (b"Upgrade", b"h2c, websocket"),
    ],
)
def test_no_header_makes_a_fault_or_a_second_line(stage: Stage, name: bytes, value: bytes) -> None:
    request_id = f"header-{zlib.crc32(name + value):010d}"
    for path in (PRODUCTS, b"/api/v1/users/me"):
        status, head, body = ask(
            stage, get(path, name + b": " + value, b"X-Request-ID: " + request_id.encode())
        )
        assert status in (200, 400, 401, 404, 417), body
        if value_of(head, b"x-request-id") is None:
            return  # The parser refused the bytes.
    assert stage.lines({request_id}) == {request_id: 2}
    for event in stage.service.events():
        if event.get("request_id") == request_id:
            assert json.dumps(event, ensure_ascii=False).isprintable()
            assert len(json.dumps(event)) < 8000
    assert stage.faults() == []


def test_secrets_in_an_address_stay_out_of_the_log(stage: Stage) -> None:
    secret = "hunter2hunter2"
    path = f"/api/v1/products?password={secret}&access_token={secret}".encode()
    assert ask(stage, get(path, b"X-Request-ID: secret-in-query"))[0] in (200, 422)
    stage.lines({"secret-in-query"})
    assert secret not in stage.service.output.read_text(encoding="utf-8")


def test_smuggled_and_malformed_requests_are_refused(stage: Stage) -> None:
    for request in (
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\x00 / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        answer = stage.service.raw(request)
        assert re.match(rb"HTTP/1\.1 4\d\d ", answer), (request, answer[:200])
        assert b"Traceback" not in answer
    assert ask(stage, get(LIVE))[0] == 200


def test_nothing_of_all_this_was_a_fault(stage: Stage) -> None:
    assert stage.faults() == []
    assert len(run(stage.database.fetch, "SELECT 1 FROM shop.users")) >= 2
