"""What every response has, whatever was asked."""

import re

import httpx2
import pytest

from conftest import Database, Serve
from shop.core.errors import Problem
from shop.products import service

pytestmark = pytest.mark.anyio


@pytest.fixture
def database(shared_database: Database) -> Database:
    """No test of this file changes anything in it."""
    return shared_database


GENERATED_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

REQUESTS = [
    ("GET", "/health/live", 200),
    ("GET", "/api/v1/products", 200),
    ("GET", "/nowhere", 404),
    ("DELETE", "/api/v1/products", 405),
    ("GET", "/api/v1/products?limit=0", 422),
]


def assert_problem(response: httpx2.Response, status: int) -> None:
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(response.content)
    assert problem.status == response.status_code == status
    assert problem.request_id == response.headers["x-request-id"]
    assert problem.code
    assert problem.message == problem.detail


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
async def test_every_response_names_its_request(
    client: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await client.request(method, path, headers={"X-Request-ID": "trace-1.A_b"})
    assert response.status_code == status, response.text
    assert response.headers.get_list("x-request-id") == ["trace-1.A_b"]
    # uvicorn says it, by what the release is started with.
    assert "x-release" not in response.headers
    if status >= 400:
        assert_problem(response, status)


async def test_a_fault_of_ours_is_a_500_that_tells_nothing_but_its_id(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(service, "get_product", broken)
    response = await client.get("/api/v1/products/019b76da-a800-7000-8000-000000000001")
    assert_problem(response, 500)
    assert "hunter2" not in response.text


async def test_a_method_that_is_not_supported_is_told_which_are(client: httpx2.AsyncClient) -> None:
    response = await client.delete("/api/v1/products")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    "given", ["", "x" * 7, "x" * 65, "a b c d e", "äöüäöüäö", "a,b,c,d,e", "<script>", "../../etc"]
)
async def test_a_request_id_that_could_do_harm_is_replaced(client: httpx2.AsyncClient, given: str) -> None:
    response = await client.get("/health/live", headers=[(b"X-Request-ID", given.encode())])
    assert GENERATED_ID.fullmatch(response.headers["x-request-id"]), response.headers


async def test_the_longest_request_id_is_kept(client: httpx2.AsyncClient) -> None:
    response = await client.get("/health/live", headers={"X-Request-ID": "x" * 64})
    assert response.headers["x-request-id"] == "x" * 64


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/products/%00",
        "/api/v1/products/" + "a" * 8000,
        "/api/v1/products/019b76da-a800-7000-8000-00000000000g",
        "/api/v1/products/%ff%fe",
        "/api/v1/products/..%2f..%2fetc%2fpasswd",
        "/api/v1/products?last_id=%00",
        "/api/v1/products?category=%00",
        "/api/v1/products?category=%ed%a0%80",
        "/api/v1/products?category=%27%3B%20DROP%20TABLE%20products%3B--",
        "/api/v1/products?limit=1e400",
        "/api/v1/products?limit=NaN",
        "/api/v1/products?limit=1&limit=2",
        "/api/v1/products?limit=-9223372036854775809",
        "/%00",
        "/health/ready%0d%0aX-Injected:%201",
    ],
)
async def test_hostile_input_is_never_a_fault_of_ours(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code in (200, 404, 422), response.text
    assert "x-injected" not in response.headers
    assert (await client.get("/api/v1/products")).status_code == 200


@pytest.mark.parametrize(("environment", "status"), [("test", 200), ("lab", 200), ("production", 404)])
async def test_the_schema_of_the_api_is_shown_outside_production_only(
    database: Database, serve: Serve, environment: str, status: int
) -> None:
    async with serve(database.settings(environment=environment)) as client:
        assert (await client.get("/openapi.json")).status_code == status
        for path in ("/docs", "/redoc"):
            assert (await client.get(path)).status_code == 404
