"""The commands an operator types: what they do, what they print, what they refuse."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conftest import SERVICE, Database, Serve, run, run_shop

EMAIL = "root@example.net"
CHEAP = {"SHOP_PASSWORD_MEMORY_KIB": "8", "SHOP_PASSWORD_ITERATIONS": "1"}


@pytest.fixture
def environ(database: Database, tmp_path: Path) -> dict[str, str]:
    return database.environ(tmp_path / "credentials", **CHEAP)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in run(database.fetch, query)]


async def login(serve: Serve, database: Database, password: str) -> int:
    async with serve(database.settings(password_memory_kib=8, password_iterations=1)) as client:
        answer = await client.post("/api/v1/auth/login", json={"email": EMAIL, "password": password})
        if answer.status_code != 200:
            form = {"username": EMAIL, "password": password}
            answer = await client.post("/api/v1/auth/login", data=form)
        return answer.status_code


def test_an_admin_is_made_with_a_password_that_is_shown_once(
    database: Database, environ: dict[str, str], serve: Serve
) -> None:
    done = run_shop("create-admin", environ, EMAIL, "--name", "Root")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["created"], made["email"], made["role"]) == (True, EMAIL, "admin")
    assert rows(database, "SELECT email, name, role FROM shop.users") == [(EMAIL, "Root", "admin")]
    assert run(login, serve, database, made["password"]) == 200
    assert made["password"] not in done.stderr
    again = run_shop("create-admin", environ, EMAIL.upper())
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == {"created": False, "email": EMAIL.upper(), "role": "admin"}
    assert run(login, serve, database, made["password"]) == 200


def test_a_chosen_password_comes_over_stdin_and_is_not_shown(
    database: Database, environ: dict[str, str], serve: Serve
) -> None:
    chosen = "three old words"
    done = run_shop("create-admin", environ, EMAIL, "--password-stdin", stdin=chosen + "\n")
    assert done.returncode == 0, done.stderr
    assert chosen not in done.stdout + done.stderr
    assert run(login, serve, database, chosen) == 200


@pytest.mark.parametrize(
    ("email", "stdin", "words"),
    [
        ("nobody", "three old words\n", "email"),
        (EMAIL, "short\n", "password"),
        (EMAIL, "", "password"),
    ],
)
def test_an_admin_who_could_not_log_in_is_refused(
    database: Database, environ: dict[str, str], email: str, stdin: str, words: str
) -> None:
    done = run_shop("create-admin", environ, email, "--password-stdin", stdin=stdin)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert rows(database, "SELECT FROM shop.users") == []


def test_a_user_with_that_address_is_not_promoted_silently(
    database: Database, environ: dict[str, str]
) -> None:
    run_shop("create-admin", environ, EMAIL)
    run(database.execute, "UPDATE users SET role = 'user'")
    done = run_shop("create-admin", environ, EMAIL)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{EMAIL} belongs to a user who is no admin" in done.stderr
    assert rows(database, "SELECT role FROM shop.users") == [("user",)]


@pytest.mark.parametrize("command", ["create-admin", "seed-demo", "purge"])
def test_a_database_that_is_away_is_69_in_a_sentence(environ: dict[str, str], command: str) -> None:
    arguments = [EMAIL] if command == "create-admin" else []
    done = run_shop(command, {**environ, "SHOP_DATABASE_PORT": "1"}, *arguments)
    assert done.returncode == 69, done
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


OLD = """
INSERT INTO users (id, email, hashed_password, name) VALUES (gen_random_uuid(), 'a@b.example', '!', 'A');
INSERT INTO refresh_tokens (id, user_id, family, expires_at)
    SELECT gen_random_uuid(), users.id, gen_random_uuid(), now() + n * interval '1 minute'
    FROM users, generate_series(-{0}, 2) AS n WHERE n <> 0;
INSERT INTO idempotency_keys (account_id, key, request_hash, status, body, created_at)
    SELECT gen_random_uuid(), n::text, '', 201, '{{}}', now() - n * interval '1 hour'
    FROM generate_series(22, 24 + {0}) AS n WHERE n <> 24;
"""
LEFT = "SELECT (SELECT count(*) FROM shop.refresh_tokens), (SELECT count(*) FROM shop.idempotency_keys)"


def test_a_purge_deletes_what_nobody_needs_and_nothing_else(
    database: Database, environ: dict[str, str], tmp_path: Path
) -> None:
    run(database.execute, OLD.format(2500))
    # Nothing but the database's password is given to it.
    (tmp_path / "credentials" / "secret_key").unlink()
    done = run_shop("purge", environ)
    assert done.returncode == 0, done.stderr
    deleted = {"refresh_tokens": 2500, "idempotency_keys": 2500}
    assert json.loads(done.stdout) == {"deleted": deleted}
    assert rows(database, LEFT) == [(2, 2)]
    assert json.loads(run_shop("purge", environ).stdout) == {"deleted": dict.fromkeys(deleted, 0)}


async def hold(database: Database, statement: str, act: Callable[[], Any]) -> Any:
    connection = await database.cluster.connect(database.name)
    try:
        await connection.execute(f"BEGIN; {statement}")
        return act()
    finally:
        await connection.close()


def test_a_purge_waits_for_nobody(database: Database, environ: dict[str, str]) -> None:
    run(database.execute, OLD.format(5))
    locked = "SELECT FROM shop.idempotency_keys ORDER BY created_at LIMIT 3 FOR UPDATE"
    done = run(hold, database, locked, lambda: run_shop("purge", environ))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["deleted"]["idempotency_keys"] == 2


INVARIANTS = {
    "stock is the sum of its log": """
        SELECT p.sku FROM shop.products p LEFT JOIN shop.stock_log l ON l.product_id = p.id
        WHERE p.sku LIKE 'DEMO-%' GROUP BY p.id HAVING p.stock <> coalesce(sum(l.change_amount), 0)""",
    "each balance follows from the one before": """
        SELECT id FROM (SELECT id, balance_after - change_amount AS before,
            coalesce(lag(balance_after) OVER (PARTITION BY product_id ORDER BY id), 0) AS previous
            FROM shop.stock_log) AS chain WHERE before <> previous""",
    "a total is the sum of its items": """
        SELECT o.id FROM shop.orders o JOIN shop.order_items i ON i.order_id = o.id
        GROUP BY o.id HAVING o.total <> sum(i.quantity * i.unit_price)""",
    "each item took its stock once": """
        SELECT i.order_id FROM shop.order_items i LEFT JOIN shop.stock_log l
            ON (l.order_id, l.product_id, l.reason) = (i.order_id, i.product_id, 'order')
        WHERE l.change_amount IS DISTINCT FROM -i.quantity""",
    "a cancelled order gave it back, no other did": """
        SELECT o.id FROM shop.orders o JOIN shop.stock_log l ON l.order_id = o.id
        GROUP BY o.id HAVING (sum(l.change_amount) = 0) <> (o.status = 'cancelled')""",
    "no order without items": """
        SELECT id FROM shop.orders WHERE id NOT IN (SELECT order_id FROM shop.order_items)""",
    "ids sort as times do": """
        SELECT id FROM (SELECT id, created_at < lag(created_at) OVER (ORDER BY id) AS wrong
            FROM shop.orders) AS sorted WHERE wrong""",
    "nothing is from the future": "SELECT id FROM shop.orders WHERE created_at > now()",
}


def test_a_demo_is_a_shop_that_adds_up(database: Database, environ: dict[str, str]) -> None:
    done = run_shop("seed-demo", environ, "--users", "40")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["users"], made["accounts"]) == (40, 40)
    assert made["orders"] > 60
    assert rows(database, "SELECT count(*) FROM shop.orders") == [(made["orders"],)]
    for statement, query in INVARIANTS.items():
        assert rows(database, query) == [], statement
    again = run_shop("seed-demo", environ)
    assert (again.returncode, json.loads(again.stdout)) == (0, {"created": False})
    assert rows(database, "SELECT count(*) FROM shop.users") == [(40,)]


@pytest.mark.parametrize("users", ["0", "501", "many"])
def test_a_demo_is_bounded(environ: dict[str, str], users: str) -> None:
    done = run_shop("seed-demo", environ, "--users", users)
    assert done.returncode == 2
    assert "a whole number from 1 to 500 is needed" in done.stderr


def test_nothing_is_made_up_in_production(database: Database, environ: dict[str, str]) -> None:
    done = run_shop("seed-demo", {**environ, "SHOP_ENVIRONMENT": "production"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "SHOP_ENVIRONMENT is production" in done.stderr
    assert rows(database, "SELECT FROM shop.users") == []


def test_a_demo_needs_the_schema_of_its_release(empty_database: Database, tmp_path: Path) -> None:
    done = run_shop("seed-demo", empty_database.environ(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "without a schema" in done.stderr
    assert "run its migrations" in done.stderr
    assert "Nothing was changed." in done.stderr


WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND application_name LIKE 'shop/%' AND datname = current_database()
"""


def meet(database: Database) -> None:
    deadline = time.monotonic() + 30
    while rows(database, WAITING) != [(2,)]:
        assert time.monotonic() < deadline, "the two never met"
        time.sleep(0.05)


def test_two_who_make_up_a_shop_at_once_make_one(database: Database, environ: dict[str, str]) -> None:
    with ThreadPoolExecutor(3) as pool:

        def begin() -> list[Any]:
            begun = [pool.submit(run_shop, "seed-demo", environ) for _ in range(2)]
            pool.submit(meet, database).result()
            return begun

        # Each has looked whether there is a demo when it waits for the table, if nothing else stops it.
        begun = run(hold, database, "LOCK TABLE shop.users IN SHARE MODE", begin)
        done = [each.result() for each in begun]
    assert [each.returncode for each in done] == [0, 0], done
    assert sorted(json.loads(each.stdout)["created"] for each in done) == [False, True]


def test_a_demo_trades_in_the_shops_currency(database: Database, environ: dict[str, str]) -> None:
    done = run_shop("seed-demo", {**environ, "SHOP_CURRENCY": "CHF"})
    assert done.returncode == 0, done.stderr
    traded = "SELECT DISTINCT currency FROM shop.{}"
    assert [rows(database, traded.format(table)) for table in ("accounts", "orders")] == [[("CHF",)]] * 2


def test_the_openapi_document_is_printed_without_settings_or_database() -> None:
    done = run_shop("openapi", {"PYTHONPATH": str(SERVICE), "SHOP_ENVIRONMENT": "production"})
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["openapi"].startswith("3.")
    assert "/api/v1/products" in document["paths"]


def test_help_names_every_command() -> None:
    done = run_shop("--help", {"PYTHONPATH": str(SERVICE)})
    readme = (SERVICE / "README.md").read_text(encoding="utf-8")
    assert done.returncode == 0
    for command in (
        "check-config",
        "migrate",
        "schema-head",
        "schema",
        "openapi",
        "purge",
        "create-admin",
        "seed-demo",
    ):
        assert command in done.stdout
        assert f"| `shop {command}" in readme
