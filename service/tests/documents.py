"""An OpenAPI document as tests walk through it: its operations, a body for each, every place of a text."""

import copy
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

METHODS = ("get", "put", "post", "delete", "patch")
Path = tuple[str | int, ...]

# A value that fits, by the name of a field: patterns and formats say too little of what is accepted.
VALUES: dict[str, Callable[[], Any]] = {
    "email": lambda: f"{uuid.uuid4()}@shop.test",
    "username": lambda: "somebody@shop.test",
    "password": lambda: "correct horse battery",
    "name": lambda: "Somebody",
    "avatar": lambda: "https://shop.test/a.png",
    "sku": lambda: str(uuid.uuid4()),
    "category": lambda: "tools",
    "price": lambda: "19.90",
    "currency": lambda: "EUR",
    "reason": lambda: "restock",
    "refresh_token": lambda: "x.y.z",
    "Idempotency-Key": lambda: str(uuid.uuid4()),
}


@dataclass
class Operation:
    """One operation, its references resolved; `media_type` and `schema` are those of its body, if any."""

    method: str
    path: str
    details: dict[str, Any]
    media_type: str | None = None
    schema: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    def parameters(self, where: str) -> dict[str, dict[str, Any]]:
        """The schemas of the parameters in "path", "query" or "header", by name."""
        return {
            given["name"]: given["schema"]
            for given in self.details.get("parameters", [])
            if given["in"] == where
        }

    def body(self, ids: dict[str, str]) -> Any:
        """A body that the operation accepts; `ids` are of things there are."""
        return sample(self.schema, ids)


def resolved(document: dict[str, Any], value: Any) -> Any:
    """`value` with every reference replaced by what it refers to."""
    if isinstance(value, dict):
        if "$ref" in value:
            target: Any = document
            for part in value["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            return resolved(document, target)
        return {name: resolved(document, member) for name, member in value.items()}
    if isinstance(value, list):
        return [resolved(document, member) for member in value]
    return value


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Every operation of the document."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            details = resolved(document, item[method])
            operation = Operation(method, path, details)
            for media_type, content in details.get("requestBody", {}).get("content", {}).items():
                operation.media_type, operation.schema = media_type, content["schema"]
            yield operation


def variants(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas that a value may have, without null."""
    any_of = [schema] if "type" in schema else schema.get("anyOf") or schema.get("oneOf") or [schema]
    return [variant for variant in any_of if variant.get("type") != "null"]


def sample(schema: dict[str, Any], ids: dict[str, str], name: str = "") -> Any:
    """A value of `schema`; with the id of something there is where the name asks for one."""
    schema = variants(schema)[0]
    if name in ids:
        return ids[name]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return VALUES[name]() if name in VALUES and VALUES[name]() in schema["enum"] else schema["enum"][0]
    if schema.get("type") == "object":
        return {
            member: sample(inner, ids, member)
            for member, inner in schema.get("properties", {}).items()
            if member != "expected_version"
        }
    if schema.get("type") == "array":
        return [sample(schema["items"], ids, name)]
    if schema.get("type") == "integer":
        return max(1, schema.get("minimum", 1))
    if schema.get("type") == "boolean":
        return True
    if schema.get("type") == "number":
        return 1
    if name in VALUES:
        return VALUES[name]()
    if schema.get("format") == "uuid":
        return str(uuid.uuid4())
    return "text"


def places(schema: dict[str, Any], kinds: tuple[str, ...], path: Path = ()) -> Iterator[Path]:
    """The paths to every value in `schema` that may be one of `kinds`: "string", "integer", "number"."""
    found = False
    for variant in variants(schema):
        if variant.get("type") == "object":
            for name, inner in variant.get("properties", {}).items():
                yield from places(inner, kinds, (*path, name))
        elif variant.get("type") == "array":
            yield from places(variant["items"], kinds, (*path, 0))
        elif variant.get("type") in kinds and not found:
            found = True
            yield path


def replaced(document: Any, path: Path, value: Any) -> Any:
    """A copy of `document` with `value` at `path`."""
    if not path:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return changed
