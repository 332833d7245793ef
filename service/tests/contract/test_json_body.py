"""What is read as JSON: one reader, strict, quick, and never a fault of ours."""

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Form
from pydantic import BaseModel

from problems import assert_problem
from shop.core.edge import BodyLimit
from shop.core.errors import AppError, ConstraintError, register_error_handlers
from shop.core.json_body import JSONRoute, parse
from shop.core.middleware import LastResort, RequestMiddleware

pytestmark = [pytest.mark.anyio, pytest.mark.differs("how deep JSON may be is the interpreter's")]
LIMIT = 1_048_576


class Thing(BaseModel):
    """Takes any document, so that only the reader can refuse."""

    any: Any = None


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of routes that read JSON or a form and send back what they read."""
    router = APIRouter(route_class=JSONRoute)

    @router.post("/json")
    async def read_json(thing: Thing) -> Any:
        return {"any": thing.any}

    @router.post("/optional")
    async def read_optional(thing: Thing | None = None) -> Any:
        return {"given": thing is not None}

    @router.post("/form")
    async def read_form(name: Annotated[str, Form()]) -> Any:
        return {"name": name}

    @router.get("/text/{text}")
    async def read_text(text: str, q: str = "") -> Any:
        return {"text": text, "q": q}

    @router.get("/constraint/{name}")
    async def violate(name: str) -> None:
        raise ConstraintError(name, "23505")

    app = FastAPI()
    app.add_middleware(BodyLimit, largest=LIMIT)
    app.add_middleware(LastResort)
    app.add_middleware(RequestMiddleware)
    register_error_handlers(app, {"uq_known": (409, "known_taken", "It is taken.")})
    app.include_router(router)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        yield client


JSON = {"Content-Type": "application/json"}

REFUSED = {
    "not a number": b'{"any": NaN}',
    "infinity": b'{"any": Infinity}',
    "minus infinity": b'{"any": -Infinity}',
    "a number beyond a double": b'{"any": 1e400}',
    "a negative number beyond a double": b'{"any": [-1e400]}',
    "an integer of 5000 digits": b'{"any": ' + b"9" * 5000 + b"}",
    "10000 arrays in each other": b'{"any": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "10000 objects in each other": b'{"any": ' + b'{"any":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    "arrays that never close": b'{"any": ' + b"[" * 500_000,
    "a name that comes twice": b'{"any": 1, "any": 2}',
    "a name that comes twice, once escaped": b'{"any": 1, "\\u0061ny": 2}',
    "a name that comes twice further down": b'{"any": [{"a": 1, "a": 1}]}',
    "invalid UTF-8": b'{"any": "\xff"}',
    "UTF-8 of half a surrogate pair": b'{"any": "\xed\xa0\x80"}',
    "overlong UTF-8": b'{"any": "\xc0\x80"}',
    "an escape of half a surrogate pair": b'{"any": "\\ud800"}',
    "UTF-16": '{"any": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"any": 1}',
    "a raw NUL": b'{"any": "\x00"}',
    "an escaped NUL": b'{"any": "\\u0000"}',
    "an escaped NUL in a name": b'{"\\u0000": 1}',
    "an escaped NUL far down": b'{"any": [{"a": ["b\\u0000c"]}]}',
    "a raw line feed in a text": b'{"any": "a\nb"}',
    "something after the document": b'{"any": 1} x',
    "a comment": b'/* */ {"any": 1}',
    "a single quote": b"{'any': 1}",
    "a comma too many": b'{"any": 1,}',
    "white space alone": b"  ",
}


def processor_seconds(body: bytes, code: str | None = None) -> float:
    """What the refusal of `body` costs; the least of three, because the tests' own garbage costs, too."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        with pytest.raises(AppError) as refused:
            parse(body)
        taken.append(time.process_time() - start)
        assert refused.value.status == 422
        assert code is None or refused.value.details[0]["code"] == code
    return min(taken)


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
async def test_a_document_that_is_no_clean_json_is_refused_at_once(
    client: httpx2.AsyncClient, body: bytes
) -> None:
    response = await client.post("/json", content=body, headers=JSON)
    problem = assert_problem(response, 422, "invalid_request")
    assert problem.details[0]["location"][0] == "body"
    assert processor_seconds(body) < 1


async def test_what_is_left_out_of_a_refusal_is_what_was_sent(client: httpx2.AsyncClient) -> None:
    response = await client.post("/json", content=b'{"any": hunter2}', headers=JSON)
    assert "hunter2" not in response.text


async def test_the_place_of_a_nul_is_named(client: httpx2.AsyncClient) -> None:
    response = await client.post("/json", content=b'{"any": [1, {"a": "\\u0000"}]}', headers=JSON)
    assert [fault["location"] for fault in response.json()["details"]] == [["body", "any", "1", "a"]]


@pytest.mark.parametrize(
    "document",
    [
        {"any": "a backslash and u0000: \\u0000"},
        {"any": 2**63},
        {"any": [1.5, -0.0, 1e308, True, None, "é𝄞"]},
        {"any": {"a": {"b": [[[[]]]]}}},
        {"any": "x" * 500_000},
    ],
)
async def test_clean_json_arrives_as_it_was_sent(client: httpx2.AsyncClient, document: Any) -> None:
    response = await client.post("/json", content=json.dumps(document).encode(), headers=JSON)
    assert response.json() == document


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0", b"0.1", b'"a"'])
def test_a_megabyte_of_little_values_keeps_no_worker_busy(value: bytes) -> None:
    body = b'{"any": [' + (value + b",") * (LIMIT // (len(value) + 2)) + value + b"]}"
    assert processor_seconds(body, "json_too_many_values") < 1


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "json",
        "a/b/c",
        ";",
    ],
)
async def test_json_that_is_not_declared_as_json_is_refused(
    client: httpx2.AsyncClient, content_type: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = await client.post("/json", content=b'{"any": 1}', headers=headers)
    assert_problem(response, 415, "unsupported_media_type")
    assert response.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"]
)
async def test_json_may_be_declared_in_other_words(client: httpx2.AsyncClient, content_type: str) -> None:
    response = await client.post("/json", content=b'{"any": 1}', headers={"Content-Type": content_type})
    assert response.json() == {"any": 1}


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x" * 1000])
async def test_a_compressed_body_is_refused_unread(client: httpx2.AsyncClient, encoding: str) -> None:
    headers = {**JSON, "Content-Encoding": encoding}
    response = await client.post("/json", content=b"\x1f\x8b" + b"0" * 1000, headers=headers)
    assert_problem(response, 415, "unsupported_encoding")


async def test_no_body_needs_no_media_type(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/optional")).json() == {"given": False}
    assert_problem(await client.post("/json"), 422, "invalid_request")


@pytest.mark.parametrize(
    ("method", "address", "location"),
    [
        ("GET", "/text/a%00b", ["path", "text"]),
        ("GET", "/text/a?q=%00", ["query", "q"]),
        ("GET", "/text/a?%00=1", ["query", "\0"]),
        ("POST", "/json?q=%00", ["query", "q"]),
    ],
)
async def test_nul_is_refused_wherever_it_stands(
    client: httpx2.AsyncClient, method: str, address: str, location: list[str]
) -> None:
    problem = assert_problem(await client.request(method, address), 422, "invalid_request")
    assert [fault["location"] for fault in problem.details] == [location]


async def test_nul_is_refused_in_a_form(client: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await client.post("/form", content=b"name=a%2500", headers=headers)).json() == {"name": "a%00"}
    assert_problem(await client.post("/form", content=b"name=a%00", headers=headers), 422, "invalid_request")


@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded"])
async def test_a_body_without_length_is_cut_at_the_limit(client: httpx2.AsyncClient, media_type: str) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 65_536
            yield b"a" * 65_536

    path = "/json" if media_type == "application/json" else "/form"
    response = await client.post(path, content=body(), headers={"Content-Type": media_type})
    assert_problem(response, 413, "body_too_large")


async def test_a_body_of_just_the_limit_is_read(client: httpx2.AsyncClient) -> None:
    body = b'{"any": "' + b"a" * (LIMIT - 11) + b'"}'
    assert len(body) == LIMIT
    assert (await client.post("/json", content=body, headers=JSON)).status_code == 200
    assert_problem(await client.post("/json", content=body + b" ", headers=JSON), 413)


async def test_hundreds_of_faults_are_told_in_a_short_answer(client: httpx2.AsyncClient) -> None:
    query = "&".join(f"{'n' * 150}{number}%00=1" for number in range(300))
    problem = assert_problem(await client.get(f"/text/a?{query}"), 422)
    assert len(problem.details) == 20
    assert all(len(part) <= 100 for fault in problem.details for part in fault["location"])


async def test_a_constraint_speaks_by_its_name_or_not_at_all(client: httpx2.AsyncClient) -> None:
    problem = assert_problem(await client.get("/constraint/uq_known"), 409, "known_taken")
    assert problem.message == "It is taken."
    unknown = await client.get("/constraint/uq_unknown")
    assert_problem(unknown, 500, "internal_error")
    assert "23505" not in unknown.text


def test_the_refusal_of_a_nul_is_an_expected_error() -> None:
    with pytest.raises(AppError):
        parse(b'["\\u0000"]')
