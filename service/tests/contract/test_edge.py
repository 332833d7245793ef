"""What happens to a request before the application sees it: its host, its origin, the size of its body."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from conftest import Database, Serve
from problems import assert_problem

pytestmark = pytest.mark.anyio

PRODUCTS = "/api/v1/products"
PAGE = "https://shop.example.net"


@pytest.fixture
def database(shared_database: Database) -> Database:
    """No test of this file changes anything in it."""
    return shared_database


@pytest.mark.parametrize(
    "host",
    [
        "shop.example.net",
        "SHOP.example.NET:8443",
        "shop.example.net.",
        "a.b.example.org",
        "[::1]:80",
        "[::2]",
    ],
)
async def test_a_host_that_is_served_is_answered(database: Database, serve: Serve, host: str) -> None:
    hosts = ("shop.example.net", "*.example.org", "[::1]", "::2")
    async with serve(database.settings(allowed_hosts=hosts)) as client:
        assert (await client.get(PRODUCTS, headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    ("host", "status", "code"),
    [
        ("evil.example.com", 421, "host_not_served"),
        ("example.org", 421, "host_not_served"),
        ("shop.example.net.evil.example.com", 421, "host_not_served"),
        ("evilshop.example.net", 421, "host_not_served"),
        ("127.0.0.1", 421, "host_not_served"),
        ("shop.example.net@evil.example.com", 400, "host_invalid"),
        ("shop.example.net/path", 400, "host_invalid"),
        ("shop.example.net:port", 400, "host_invalid"),
        ("", 400, "host_invalid"),
        ("a" * 300, 400, "host_invalid"),
    ],
)
async def test_a_host_that_is_not_served_is_refused(
    database: Database, serve: Serve, host: str, status: int, code: str
) -> None:
    async with serve(database.settings(allowed_hosts=("shop.example.net", "*.example.org"))) as client:
        response = await client.get(PRODUCTS, headers={"Host": host})
    assert_problem(response, status, code)


async def test_two_hosts_are_none(database: Database, serve: Serve) -> None:
    async with serve(database.settings(allowed_hosts=("shop.test",))) as client:
        response = await client.get(PRODUCTS, headers=[("Host", "shop.test"), ("Host", "evil.test")])
    assert_problem(response, 400, "host_invalid")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_a_probe_needs_no_name_of_the_service(database: Database, serve: Serve, path: str) -> None:
    async with serve(database.settings(allowed_hosts=("shop.example.net",))) as client:
        assert (await client.get(path, headers={"Host": "localhost"})).status_code == 200


@pytest.fixture
async def crossed(database: Database, serve: Serve) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a service that the pages of one origin may call."""
    async with serve(database.settings(cors_origins=(PAGE,), cors_credentials=True)) as client:
        yield client


async def test_a_page_of_an_allowed_origin_may_read_answers_and_errors(crossed: httpx2.AsyncClient) -> None:
    for path, status in ((PRODUCTS, 200), ("/nowhere", 404), (f"{PRODUCTS}?limit=0", 422)):
        response = await crossed.get(path, headers={"Origin": PAGE})
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == PAGE
        assert "Origin" in response.headers["vary"]
        assert "X-Request-ID" in response.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example.com", PAGE + ".evil.example.com", PAGE + ":444"]
)
async def test_a_page_of_another_origin_may_not(crossed: httpx2.AsyncClient, origin: str) -> None:
    response = await crossed.get(PRODUCTS, headers={"Origin": origin})
    assert "access-control-allow-origin" not in response.headers
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    refused = await crossed.options(PRODUCTS, headers=preflight)
    assert_problem(refused, 400, "cross_origin_refused")
    assert "access-control-allow-origin" not in refused.headers
    assert "Origin" in refused.headers["vary"]


async def test_a_preflight_tells_what_is_allowed(crossed: httpx2.AsyncClient) -> None:
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,if-match",
    }
    response = await crossed.options(PRODUCTS, headers=asked)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == PAGE
    assert response.headers["x-request-id"]
    asked["Access-Control-Request-Headers"] = "x-forwarded-for"
    assert_problem(await crossed.options(PRODUCTS, headers=asked), 400, "cross_origin_refused")


async def test_without_allowed_origins_no_page_may_call(client: httpx2.AsyncClient) -> None:
    preflight = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
    assert_problem(await client.options(PRODUCTS, headers=preflight), 405, "method_not_allowed")
    response = await client.get(PRODUCTS, headers={"Origin": PAGE})
    assert "access-control-allow-origin" not in response.headers


async def test_any_origin_may_be_let_in_without_credentials(database: Database, serve: Serve) -> None:
    async with serve(database.settings(cors_origins=("*",))) as client:
        response = await client.get(PRODUCTS, headers={"Origin": "https://anyone.example.com"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


async def test_a_body_that_is_declared_too_large_is_refused_unread(database: Database, serve: Serve) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"{}"

    async with serve(database.settings(max_body_bytes=1024)) as client:
        for length in ("1025", "9" * 18, "9" * 5000):
            headers = {"Content-Length": length, "Content-Type": "application/json"}
            assert_problem(
                await client.post(PRODUCTS, content=body(), headers=headers), 413, "body_too_large"
            )


async def test_the_methods_of_an_address_are_all_named(client: httpx2.AsyncClient) -> None:
    for path, operations in (await client.get("/openapi.json")).json()["paths"].items():
        if "{" in path:
            continue
        response = await client.request("PROPFIND", path)
        assert_problem(response, 405, "method_not_allowed")
        # HEAD goes wherever GET does, and is not described apart.
        named = set(operations) | ({"head"} if "get" in operations else set())
        assert set(response.headers["allow"].lower().split(", ")) == named
