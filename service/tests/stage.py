"""A running service with something of everything in its database, and a user and an admin to ask it as."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uuid_utils.compat

from conftest import Database, run
from documents import Operation, operations
from running import Service
from shop.auth.tokens import Tokens

# Cheap hashes, a limit of bodies worth reaching, logins that no test runs out of.
SETTINGS = {
    "SHOP_WORKERS": "1",
    "SHOP_MAX_BODY_BYTES": "65536",
    "SHOP_PASSWORD_MEMORY_KIB": "8",
    "SHOP_PASSWORD_ITERATIONS": "1",
    "SHOP_LOGIN_ATTEMPTS_PER_MINUTE": "1000",
    "SHOP_DATABASE_POOL_SIZE": "5",
}
ROLES = ("user", "admin")


def furnish(database: Database) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Put a user, an admin, an account of both, a product and an order into `database`.

    Returns their ids by the name of the parameter that takes them, and the headers of each role.
    """
    ids = {
        name: str(uuid_utils.compat.uuid7())
        for name in ("user_id", "admin_id", "account_id", "product_id", "order_id")
    }
    users = [(ids["user_id"], "user"), (ids["admin_id"], "admin")]
    run(
        database.execute,
        *(
            "INSERT INTO users (id, email, hashed_password, name, role) "
            f"VALUES ('{user}', '{user}@shop.test', 'none', 'Somebody', '{role}')"
            for user, role in users
        ),
        "INSERT INTO accounts (id, owner_id, name) "
        f"VALUES ('{ids['account_id']}', '{ids['user_id']}', 'Home')",
        *(
            "INSERT INTO account_members (account_id, user_id, role) "
            f"VALUES ('{ids['account_id']}', '{user}', 'owner')"
            for user, _ in users
        ),
        "INSERT INTO products (id, sku, name, category, price, stock) "
        f"VALUES ('{ids['product_id']}', 'hammer-1', 'Hammer', 'tools', 19.90, 1000000)",
        "INSERT INTO orders (id, account_id, created_by, total, currency) "
        f"VALUES ('{ids['order_id']}', '{ids['account_id']}', '{ids['user_id']}', 19.90, 'EUR')",
        "INSERT INTO order_items (order_id, product_id, quantity, unit_price) "
        f"VALUES ('{ids['order_id']}', '{ids['product_id']}', 1, 19.90)",
    )
    tokens = Tokens(database.settings(access_token_minutes=120))
    headers = {
        role: {"Authorization": f"Bearer {tokens.issue('access', uuid_utils.compat.UUID(user), 1)}"}
        for user, role in users
    }
    return ids, headers


@dataclass
class Stage:
    """The service and what a test needs to speak with it. `sent` are the ids of all requests so far."""

    service: Service
    database: Database
    ids: dict[str, str]
    headers: dict[str, dict[str, str]]
    client: httpx2.Client
    document: dict[str, Any] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def operations(self) -> list[Operation]:
        """Every operation of the service's own OpenAPI document."""
        return list(operations(self.document))

    def address(self, operation: Operation, **values: str) -> str:
        """The path of `operation` with `values` for its parameters, or the ids of what is there."""
        path = operation.path
        for name in operation.parameters("path"):
            path = path.replace(f"{{{name}}}", values.get(name, self.ids.get(name, "none")))
        return path

    def send(self, operation: Operation, role: str, **given: Any) -> httpx2.Response:
        """`operation` asked as `role`; `given` is what the client takes, and another `path` if need be."""
        request_id = f"hostile-{next(self.numbers)}"
        headers = {**self.headers[role], "X-Request-ID": request_id, **given.pop("headers", {})}
        if operation.media_type and "content" in given:
            headers.setdefault("Content-Type", operation.media_type)
        path = given.pop("path", None) or self.address(operation)
        response = self.client.request(operation.method.upper(), path, headers=headers, **given)
        if not path.startswith("/health/"):
            # Probes that succeed are logged at debug only.
            self.sent.append(request_id)
        return response

    def lines(self, request_ids: set[str]) -> dict[str, int]:
        """How many access lines each of the requests has, once the last has one."""
        deadline = time.monotonic() + 5
        while True:
            counts: dict[str, int] = dict.fromkeys(request_ids, 0)
            for event in self.service.events():
                if event["event"] == "request" and event.get("request_id") in counts:
                    counts[event["request_id"]] += 1
            if all(counts.values()) or time.monotonic() > deadline:
                return counts
            time.sleep(0.1)

    def faults(self) -> list[dict[str, Any]]:
        """What the service logged as its own fault."""
        return [event for event in self.service.events() if event["event"] == "unhandled_error"]


@contextmanager
def set_stage(directory: Path, new_database: Callable[[str], Database], **settings: str) -> Iterator[Stage]:
    """The stage with one worker, for as long as the block runs."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    database = new_database("migrated")
    ids, headers = furnish(database)
    service = Service(directory, database.environ(directory / "credentials", **{**SETTINGS, **settings}))
    try:
        service.wait_until_ready()
        with service.client() as client:
            client.timeout = httpx2.Timeout(10)
            stage = Stage(service, database, ids, headers, client)
            stage.document = client.get("/openapi.json").json()
            yield stage
    finally:
        service.stop()
