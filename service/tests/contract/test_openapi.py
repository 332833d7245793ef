"""The OpenAPI document is true: what it promises is kept, whoever asks, and it is a pleasure to read."""

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.routing import APIRoute, iter_route_contexts

from conftest import Database
from documents import operations, resolved
from shop.core.json_body import JSONRoute
from shop.core.routing import BareRoute
from shop.main import create_app
from stage import ROLES, furnish

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], Database]) -> Database:
    """A database with something of everything."""
    return new_database("migrated")


@pytest.fixture(scope="module")
def furnished(database: Database) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The ids of what is there, and the Authorization header of each role."""
    return furnish(database)


@pytest.fixture(scope="module")
def address(database: Database, furnished: object) -> Iterator[str]:
    """The service on a port of the loopback interface: the tool that asks knows no Unix sockets."""
    settings = database.settings(
        password_memory_kib=8,
        password_iterations=1,
        login_attempts_per_minute=1000,
        database_pool_size=5,
        max_body_bytes=65_536,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), log_config=None, access_log=False, ws="none", lifespan="on")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def assert_kept(address: str, directory: Path, headers: dict[str, str], *more: str, ids: str = "") -> None:
    """Let the tool ask every operation; `ids` is a table of the configuration with ids of what is there."""
    configuration = directory / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.read_text() + ids)
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run",
        f"{address}/openapi.json", "--header", f"Authorization:{headers['Authorization']}", *more,
    ]  # fmt: skip
    finished = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=300, check=False
    )
    assert finished.returncode == 0, finished.stdout[-20_000:] + finished.stderr[-2000:]


def test_every_operation_keeps_what_the_document_promises(
    address: str, furnished: tuple[dict[str, str], dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    # An admin gets furthest.
    assert_kept(address, tmp_path, furnished[1]["admin"])


@pytest.mark.parametrize("role", ROLES)
def test_the_promises_hold_for_what_is_there(
    address: str, furnished: tuple[dict[str, str], dict[str, dict[str, str]]], role: str, tmp_path: Path
) -> None:
    ids, headers = furnished
    table = "\n[parameters]\n" + "".join(f'"path.{name}" = "{value}"\n' for name, value in ids.items())
    assert_kept(address, tmp_path, headers[role], "--phases", "fuzzing", ids=table)


def test_the_promises_hold_for_a_user(
    address: str, furnished: tuple[dict[str, str], dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    assert_kept(address, tmp_path, furnished[1]["user"], "--phases", "examples,fuzzing,stateful")


@pytest.fixture(scope="module")
def document(database: Database) -> dict[str, Any]:
    """The document of the service."""
    return create_app(database.settings()).openapi()


def test_every_operation_has_a_name_a_sentence_and_one_tag(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"]}
    names = []
    for operation in operations(document):
        details = operation.details
        names.append(details["operationId"])
        assert re.fullmatch(r"[a-z][a-z_]+", details["operationId"]), operation
        assert details["summary"], operation
        assert details["description"].rstrip().endswith("."), operation
        assert len(details["tags"]) == 1 and set(details["tags"]) <= described, operation
    assert len(names) == len(set(names)), "two operations have the same name"


def test_every_error_is_declared_in_the_one_shape(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for status, response in operation.details["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], (operation, status)
                (content,) = response["content"].values()
                assert content["schema"]["title"] == "Problem"
                assert response["description"].endswith("."), (operation, status)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_operation_that_needs_a_token_says_so(document: dict[str, Any]) -> None:
    (scheme,) = document["components"]["securitySchemes"].values()
    assert scheme["flows"]["password"]["tokenUrl"] == "/api/v1/auth/login"
    for operation in operations(document):
        assert bool(operation.details.get("security")) <= ("401" in operation.details["responses"]), operation


def test_no_reference_of_the_document_leads_nowhere(document: dict[str, Any]) -> None:
    assert resolved(document, document)["info"]["title"] == "Shop"


def test_every_route_reads_json_strictly(database: Database) -> None:
    routes = [
        context.original_route
        for context in iter_route_contexts(create_app(database.settings()).routes)
        if isinstance(context.original_route, APIRoute)
    ]
    assert len(routes) > 5
    # A bare route reads nothing of a request.
    assert [route.path for route in routes if not isinstance(route, JSONRoute | BareRoute)] == []
