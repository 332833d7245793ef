"""The articles' mistakes about middleware, lifespans, errors and documents, each as the service does it now.

S0 is the guide to Ubuntu, FastAPI and PostgreSQL, S1 the one on deployment and tuning, S2 the trade-offs, S3
the problems of servers. The item is the number of the mistake in the inventory of the articles.
"""

import ast
import asyncio
import sys
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import FastAPI, HTTPException
from pydantic import ValidationError
from pydantic.errors import PydanticImportError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from conftest import Database, Serve
from problems import assert_problem
from shop.core.database import Resources
from shop.main import create_app
from sources import calls, imported, modules

pytestmark = pytest.mark.anyio
PRODUCTS = "/api/v1/products"
EVIL = "https://evil.example.com"


def asking(app: Any) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://shop.test")


async def test_an_address_has_one_form_and_redirects_nobody(client: httpx2.AsyncClient) -> None:
    """S0, item 46: addresses with a slash at the end answer those without by 307, and bodies get lost."""
    article = FastAPI()

    @article.post("/orders/")
    async def create_order() -> None: ...

    async with asking(article) as other:
        assert (await other.post("/orders", json={})).status_code == 307
    for path in (f"{PRODUCTS}/", "/api/v1/orders/", "/health/live/"):
        assert_problem(await client.get(path), 404, "not_found")


def test_code_is_found_by_business_domain_and_what_they_share_in_core() -> None:
    """S2 and S3, item 48: by function or by domain; the articles contradict each other, the domain wins."""
    folders = {path.parts[1] for path, _ in modules() if len(path.parts) > 2}
    assert {"accounts", "auth", "core", "orders", "products", "users"} <= folders
    assert folders.isdisjoint({"models", "endpoints", "validators", "utilities", "factories", "services"})


async def test_connections_are_opened_once_and_closed_with_the_service(database: Database) -> None:
    """S3, item 49: a `Factory` that made a client for every request, and closed an `app` it did not know."""
    app = create_app(database.settings())
    seen = []
    async with app.router.lifespan_context(app):
        async with asking(app) as client:
            for _ in range(3):
                assert (await client.get(PRODUCTS)).status_code == 200
                seen.append(app.state.container.get(Resources))
        pool = seen[0].reads.pool
        assert pool.checkedin() == 1
    assert seen[0] is seen[1] is seen[2]
    sessions = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{database.name}' AND usename = 'shop'"
    assert await database.fetch(sessions) == []


def test_what_starts_and_stops_is_a_lifespan() -> None:
    """S2 and S3, item 50, kept: `on_startup` is gone from Starlette."""
    with pytest.raises(TypeError):
        Starlette(on_startup=[lambda: None])
    assert [path for path, tree in modules() if calls(tree) & {"on_event", "add_event_handler"}] == []


class Named:
    """A middleware that notes when it is passed."""

    def __init__(self, app: ASGIApp, name: str, passed: list[str]) -> None:
        self.app, self.name, self.passed = app, name, passed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.passed.append(self.name)
        await self.app(scope, receive, send)


async def test_the_middleware_added_last_is_outermost(database: Database) -> None:
    """S2, item 51: "registered first runs first", with CORS added first to be outermost."""
    passed: list[str] = []
    app = FastAPI()
    app.add_middleware(Named, name="first", passed=passed)
    app.add_middleware(Named, name="last", passed=passed)
    async with asking(app) as client:
        await client.get("/")
    assert passed == ["last", "first"]
    # A list is read as it runs. The request comes first, so that a host that is refused has its line, too.
    ours = create_app(database.settings(cors_origins=("https://shop.example.net",))).user_middleware
    assert [layer.cls.__name__ for layer in ours] == [
        "RequestMiddleware", "TrustedHosts", "CrossOrigin", "LastResort", "Head", "BodyLimit"
    ]  # fmt: skip


async def test_a_time_limit_works_on_every_supported_python() -> None:
    """S0, item 53: `asyncio.timeout` came with Python 3.11."""
    assert hasattr(asyncio, "timeout") == (sys.version_info >= (3, 11))
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.01):
            await anyio.sleep(1)
    used = [path for path, tree in modules() if "asyncio.timeout" in ast.unparse(tree)]
    assert used == []


METHODS = ("get", "post", "put", "patch", "delete")


def is_endpoint(node: ast.AST) -> bool:
    """Whether `node` is a function that answers at an address: decorated with a method of a router."""
    return isinstance(node, ast.AsyncFunctionDef) and any(
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr in METHODS
        for decorator in node.decorator_list
    )


def test_no_endpoint_calls_another() -> None:
    """S3, item 57, kept: what two addresses share is in a service, not in one of them."""
    found = 0
    for path, tree in modules():
        endpoints = {node.name for node in ast.walk(tree) if is_endpoint(node)}
        found += len(endpoints)
        called = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert endpoints & called == set(), path
        if path.name not in ("main.py", "__init__.py"):
            assert [name for name in imported(tree) if name.endswith(".router")] == [], path
    assert found > 20


def test_settings_do_not_come_from_pydantic_itself() -> None:
    """S1, item 58: `BaseSettings` moved to a package of its own."""
    with pytest.raises(PydanticImportError):
        from pydantic import BaseSettings  # noqa: F401


def test_settings_are_never_changed(database: Database) -> None:
    """S3, item 56: `update_settings` in one worker of several; here a new value takes a restart."""
    settings = database.settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.workers = 3


async def test_without_its_page_the_document_was_still_there(database: Database, serve: Serve) -> None:
    """S2, item 61: `docs_url=None` leaves /redoc and /openapi.json open."""
    async with asking(FastAPI(docs_url=None)) as article:
        assert (await article.get("/redoc")).status_code == 200
        assert (await article.get("/openapi.json")).status_code == 200
    for environment in ("staging", "production"):
        async with serve(database.settings(environment=environment)) as client:
            for path in ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"):
                assert_problem(await client.get(path), 404, "not_found")


async def test_any_origin_with_credentials_is_every_origin_with_credentials(
    database: Database, serve: Serve
) -> None:
    """S1 and S2, item 84: `*` with credentials lets the page of anyone act for its visitor."""
    article = Starlette(middleware=[Middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)])
    async with asking(article) as other:
        response = await other.get("/", headers={"Origin": EVIL, "Cookie": "session=1"})
    assert response.headers["access-control-allow-origin"] == EVIL
    assert response.headers["access-control-allow-credentials"] == "true"
    with pytest.raises(ValueError, match="SHOP_CORS_ORIGINS"):
        database.settings(cors_origins=("*",), cors_credentials=True)
    async with serve(
        database.settings(cors_origins=("https://shop.example.net",), cors_credentials=True)
    ) as ours:
        assert (
            "access-control-allow-origin" not in (await ours.get(PRODUCTS, headers={"Origin": EVIL})).headers
        )


async def test_every_error_is_one_shape_with_a_real_status(client: httpx2.AsyncClient) -> None:
    """S2, item 85: a status computed from the code was 400400, and 404 and 405 had another shape."""
    assert 400400 // 100 * 100 == 400400, "what the article made of its own code"
    article = FastAPI()

    @article.get("/missing")
    async def missing() -> None:
        raise HTTPException(404)

    async with asking(article) as other:
        assert (await other.get("/missing")).json() == {"detail": "Not Found"}
    for response in (
        await client.get("/missing"),
        await client.delete(PRODUCTS),
        await client.get(PRODUCTS, params={"limit": 0}),
        await client.get("/api/v1/users/me"),
    ):
        problem = assert_problem(response)
        assert 400 <= problem.status < 500
        assert problem.code.isidentifier()


async def test_a_fault_of_a_request_keeps_the_place_it_was_in(client: httpx2.AsyncClient) -> None:
    """S2, item 85: `loc[1:]` dropped whether it was the body or the query."""
    response = await client.get(PRODUCTS, params={"limit": 0})
    assert [fault["location"] for fault in response.json()["details"]] == [["query", "limit"]]
    response = await client.post("/api/v1/auth/refresh", json={})
    assert [fault["location"] for fault in response.json()["details"]] == [["body", "refresh_token"]]
