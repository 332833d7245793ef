"""The OpenAPI document: what FastAPI derives from the routes, completed by what is true of all of them."""

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI

from shop.core.errors import STANDARD, Problem, title

REF = "#/components/schemas/Problem"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# FastAPI's own, which no answer of this service has.
FOREIGN_SCHEMAS = ("HTTPValidationError", "ValidationError")
# What already says which characters a text has.
BOUND = {"pattern", "enum", "const"}
NO_NUL = r"^[^\u0000]*$"

Document = dict[str, Any]


def _example(status: int) -> Document:
    code, message = STANDARD[status]
    return {
        "type": "about:blank",
        "title": title(status),
        "status": status,
        "detail": message,
        "instance": "/api/v1/products",
        "code": code,
        "message": message,
        "details": None,
        "request_id": "019b76da-a800-7000-8000-000000000001",
    }


def _problem(status: int) -> Document:
    content: Document = {"schema": {"$ref": REF}}
    if status not in STANDARD:
        return {"description": title(status), "content": {"application/problem+json": content}}
    content["example"] = _example(status)
    return {"description": STANDARD[status][1], "content": {"application/problem+json": content}}


def _name(status: str) -> str:
    return title(int(status)).replace(" ", "")


def _implied(operation: Document) -> Iterator[int]:
    yield 500
    if operation.get("security"):
        yield 401
    if "requestBody" in operation:
        yield from (413, 415)
    if "requestBody" in operation or operation.get("parameters"):
        yield 422


def _errors(operation: Document) -> set[str]:
    declared = {status for status in operation["responses"] if status.isdecimal() and int(status) >= 400}
    return declared | {str(status) for status in _implied(operation)}


def _say_no_nul(schema: Any) -> None:
    """Say of every free text below `schema` what JSONRoute sees to: that it holds no NUL."""
    if isinstance(schema, dict):
        if schema.get("type") == "string" and schema.keys().isdisjoint(BOUND):
            schema["pattern"] = NO_NUL
        for inner in schema.values():
            _say_no_nul(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _say_no_nul(inner)


def complete(document: Document) -> Document:
    """`document` with every error in the one shape and every status that all operations share."""
    components = document.setdefault("components", {})
    problems: Document = {}
    for item in document["paths"].values():
        for operation in (item[method] for method in METHODS if method in item):
            responses = operation["responses"]
            for status in _errors(operation):
                problems[_name(status)] = _problem(int(status))
                responses[status] = {"$ref": f"#/components/responses/{_name(status)}"}
            operation["responses"] = dict(sorted(responses.items()))
    components["responses"] = dict(sorted(problems.items()))
    schemas = components.setdefault("schemas", {})
    for name in FOREIGN_SCHEMAS:
        schemas.pop(name, None)
    _say_no_nul(document)
    schemas["Problem"] = Problem.model_json_schema()
    return document


def describe(app: FastAPI) -> None:
    """Make `app` publish the completed document."""
    derive: Callable[[], Document] = app.openapi
    completed: list[Document] = []

    def openapi() -> Document:
        if not completed:
            completed.append(complete(derive()))
        return completed[0]

    app.openapi = openapi  # type: ignore[method-assign]
