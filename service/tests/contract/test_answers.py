"""What every GET promises: HEAD, 304 where it sends an ETag, and errors that other origins can read."""

import httpx2
import pytest
from fastapi import FastAPI

from conftest import Database, SignIn
from shop.main import create_app

pytestmark = pytest.mark.anyio

ORIGIN = "https://page.example.net"
READ = [
    "/api/v1/products",
    "/api/v1/products/categories",
    "/health/live",
    "/health/ready",
    "/health",
    "/health/db",
]


@pytest.mark.parametrize("path", READ)
async def test_head_is_get_without_the_body(reader: httpx2.AsyncClient, path: str) -> None:
    got, head = await reader.get(path), await reader.head(path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]


async def test_head_of_what_is_only_posted_is_refused(reader: httpx2.AsyncClient) -> None:
    assert (await reader.head("/api/v1/auth/login")).status_code == 405
    assert (await reader.delete("/health/live")).headers["allow"] == "GET, HEAD"


async def test_whoever_is_sent_an_etag_may_ask_whether_it_changed(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    user = await sign_in(database)
    created = await client.post("/api/v1/accounts", json={"name": "Home"}, headers=user.headers)
    for path in ("/api/v1/users/me", f"/api/v1/users/{user.user_id}", created.headers["location"]):
        got = await client.get(path, headers=user.headers)
        again = await client.get(path, headers={**user.headers, "If-None-Match": got.headers["etag"]})
        assert again.status_code == 304, path
        assert again.content == b""
        assert again.headers["etag"] == got.headers["etag"]
        assert again.headers["cache-control"] == got.headers["cache-control"]
        other = await client.get(path, headers={**user.headers, "If-None-Match": '"another"'})
        assert other.status_code == 200


async def test_a_page_of_another_origin_can_read_a_fault(shared_database: Database) -> None:
    app: FastAPI = create_app(shared_database.settings(cors_origins=(ORIGIN,)))

    @app.get("/fault")
    async def fault() -> None:
        raise RuntimeError("nobody expects this")

    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as client,
    ):
        response = await client.get("/fault", headers={"Origin": ORIGIN})
    assert response.status_code == 500
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.json()["request_id"] == response.headers["x-request-id"]
