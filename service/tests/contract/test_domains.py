"""A domain is its folder and its line: without both, the rest is a whole service."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import SERVICE, Database, run, run_shop
from running import Service
from shop.domains import DOMAINS, NAMES

ORDERS = {"orders", "order_items"}


def alembic(copy: Path, environ: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *words],
        env=environ,
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def without_orders(tmp_path: Path) -> Path:
    """A copy of the service whose engineer sells nothing: the folder is gone, and the line."""
    copy = tmp_path / "service"
    ignored = shutil.ignore_patterns("__pycache__", "tests", "bench", "*.egg-info", "build")
    shutil.copytree(SERVICE, copy, ignore=ignored)
    shutil.rmtree(copy / "shop" / "orders")
    listed = copy / "shop" / "domains.py"
    lines = listed.read_text().splitlines(keepends=True)
    listed.write_text("".join(line for line in lines if line != '    "orders",\n'))
    return copy


def test_each_domain_is_a_folder_a_line_and_one_object() -> None:
    assert [domain.name for domain in DOMAINS] == list(NAMES)
    for domain in DOMAINS:
        assert (SERVICE / "shop" / domain.name / "__init__.py").is_file()
        tables = {model.__tablename__ for model in domain.models}
        assert set(domain.purged) <= tables, "a domain purges its own tables"


def test_a_domain_is_deleted_with_its_folder_its_line_and_its_tables(
    without_orders: Path, database: Database, tmp_path: Path
) -> None:
    cheap = {"SHOP_PASSWORD_MEMORY_KIB": "8", "SHOP_PASSWORD_ITERATIONS": "1"}
    environ = database.environ(
        tmp_path / "credentials", PYTHONPATH=str(without_orders), SHOP_WORKERS="1", **cheap
    )
    done = run_shop("openapi", environ, folder=without_orders)
    assert done.returncode == 0, done.stderr
    paths = json.loads(done.stdout)["paths"]
    assert "/api/v1/accounts/{account_id}" in paths
    assert [path for path in paths if "order" in path] == []

    # What its tables were is what Alembic finds to be too much: they go with a revision of one's own.
    alembic(without_orders, environ, "revision", "--autogenerate", "-m", "No orders any more")
    (revision,) = (without_orders / "migrations" / "versions").glob("*_no_orders_any_more.py")
    text = revision.read_text()
    assert {
        name for name in ("users", "accounts", "products", *ORDERS) if f"drop_table('{name}'" in text
    } == ORDERS
    # Alembic does not see to the order: what refers to a table goes before it.
    table, end = "    op.drop_table('orders')\n", "    # ### end Alembic commands ###\n"
    assert text.count(table) == 1
    revision.write_text(text.replace(table, "").replace(end, table + end, 1))
    done = run_shop("migrate", environ, "--contract", folder=without_orders)
    assert done.returncode == 0, done.stderr
    alembic(without_orders, environ, "check")
    names = {
        row["tablename"]
        for row in run(database.fetch, "SELECT tablename FROM pg_tables WHERE schemaname = 'shop'")
    }
    assert names.isdisjoint(ORDERS) and "stock_log" in names

    for command in ("check-config", "seed-demo", "purge"):
        done = run_shop(command, environ, folder=without_orders)
        assert done.returncode == 0, done.stderr
    made = run_shop("create-admin", environ, "root@shop.test", folder=without_orders)
    password = json.loads(made.stdout)["password"]
    service = Service(tmp_path, environ)
    try:
        service.wait_until_ready()
        with service.client() as client:
            assert len(client.get("/api/v1/products").json()["items"]) > 1
            login = {"username": "root@shop.test", "password": password}
            token = client.post("/api/v1/auth/login", data=login).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            account = client.post("/api/v1/accounts", json={"name": "Home"}, headers=headers).json()["id"]
            closed = client.patch(f"/api/v1/accounts/{account}", json={"status": "closed"}, headers=headers)
            assert (closed.status_code, closed.json()["status"]) == (200, "closed")
    finally:
        service.stop()
