"""What the articles say of the database, pools, migrations and settings: what is kept, what is corrected."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import httpx2
import pytest
from pydantic_settings import BaseSettings, SettingsError
from sqlalchemy.exc import InvalidRequestError, ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

from conftest import RELEASE, SECRET_KEY, SERVICE, Database, Serve, alembic, run, run_shop
from shop.core.configuration import ConfigurationError, load_settings
from shop.core.database import Base, create_engine, database_url
from shop.settings import Settings

pytestmark = pytest.mark.differs("Alembic asks the server's catalogue")


async def first_value(database: Database, user: str, password: str, query: str) -> Any:
    connection = await asyncpg.connect(
        host=str(database.cluster.socket_directory),
        port=database.cluster.port,
        user=user,
        password=password,
        database=database.name,
    )
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def test_s1_item_11_sqlite_is_no_stand_in_and_the_tests_run_on_postgresql(shared_database: Database) -> None:
    with pytest.raises(InvalidRequestError, match="not async"):
        create_async_engine("sqlite:///./test.db")
    ((version,),) = run(shared_database.fetch, "SELECT current_setting('server_version_num')::int / 10000")
    assert 14 <= version <= 17


def test_s0_item_12_grants_on_the_database_open_no_table_and_the_service_has_rows_alone(
    database: Database,
) -> None:
    word = "three old words"
    run(
        database.execute,
        "DROP ROLE IF EXISTS fastapi_user",
        f"CREATE ROLE fastapi_user LOGIN PASSWORD '{word}'",
        f"GRANT ALL PRIVILEGES ON DATABASE {database.name} TO fastapi_user",
    )
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            run(first_value, database, "fastapi_user", word, "SELECT count(*) FROM shop.products")
    finally:
        run(database.execute, "DROP OWNED BY fastapi_user", "DROP ROLE fastapi_user")
    count = "SELECT count(*) FROM shop.products"
    assert run(first_value, database, "shop", database.cluster.password, count) == 6
    ((owner_logs_in,),) = run(database.fetch, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'shop_owner'")
    assert not owner_logs_in


def test_s0_item_15_moments_have_a_zone_documents_are_jsonb_and_money_is_exact(
    shared_database: Database,
) -> None:
    columns = run(
        shared_database.fetch,
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'shop'",
    )
    types = {f"{table}.{column}": kind for table, column, kind in columns}
    assert types["products.price"] == types["orders.total"] == "numeric"
    assert types["outbox.payload"] == "jsonb"
    moments = {kind for name, kind in types.items() if name.endswith("_at")}
    assert moments == {"timestamp with time zone"}
    assert not set(types.values()) & {"json", "money", "real", "double precision"}


@pytest.mark.parametrize(
    ("workers", "pool_size", "max_overflow", "fits"),
    [(4, 15, 10, False), (4, 20, 10, False), (4, 10, 5, True)],
)
def test_s0_to_s3_item_19_pools_that_take_every_connection_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    workers: int,
    pool_size: int,
    max_overflow: int,
    fits: bool,
) -> None:
    # max_connections 100, less 3 for superusers and 10 for admins.
    values = {
        "ENVIRONMENT": "test",
        "WORKERS": workers,
        "DATABASE_POOL_SIZE": pool_size,
        "DATABASE_MAX_OVERFLOW": max_overflow,
        "DATABASE_CONNECTION_BUDGET": 87,
    }
    for name, value in values.items():
        monkeypatch.setenv(f"SHOP_{name}", str(value))
    (tmp_path / "secret_key").write_text(SECRET_KEY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    if fits:
        assert load_settings(Settings).connections == 60
    else:
        with pytest.raises(ConfigurationError, match="SHOP_DATABASE_CONNECTION_BUDGET is 87"):
            load_settings(Settings)


@pytest.mark.anyio
async def test_s0_item_20_who_finds_no_connection_is_told_in_seconds_when_to_come_back(
    database: Database, serve: Serve
) -> None:
    assert Settings.model_fields["database_pool_timeout"].default == 3
    settings = database.settings(database_pool_size=1, database_max_overflow=0, database_pool_timeout=0.2)
    holder = await database.cluster.connect(database.name)
    told: list[tuple[float, httpx2.Response]] = []
    someone_told = anyio.Event()
    try:
        await holder.execute("BEGIN; LOCK TABLE shop.products IN ACCESS EXCLUSIVE MODE")
        async with serve(settings) as client, anyio.create_task_group() as group:

            async def ask() -> None:
                began = time.monotonic()
                answer = await client.get("/api/v1/products")
                told.append((time.monotonic() - began, answer))
                someone_told.set()

            for _ in range(3):
                group.start_soon(ask)
            with anyio.fail_after(10):
                await someone_told.wait()
            await holder.execute("ROLLBACK")
    finally:
        await holder.close()
    seconds, answer = told[0]
    assert seconds < 15, "the wait for a connection is not the one that was set"
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.anyio
async def test_s0_item_21_a_connection_that_was_cut_is_replaced_before_it_is_used(
    database: Database, serve: Serve
) -> None:
    async with serve(database.settings(database_pool_size=1, database_max_overflow=0)) as client:
        assert (await client.get("/api/v1/products")).status_code == 200
        cut = await database.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE usename = 'shop' AND datname = '{database.name}'"
        )
        assert [row[0] for row in cut] == [True]
        assert (await client.get("/api/v1/products")).status_code == 200
    engine = create_engine(database.settings())
    assert engine.pool._recycle == 1800
    await engine.dispose()


def test_s0_item_37_the_article_s_env_py_is_no_python_and_ours_finds_a_lost_index(database: Database) -> None:
    article = (
        "def run_migrations_online():\n    async with connectable.connect() as connection:\n        pass\n"
    )
    with pytest.raises(SyntaxError):
        compile(article, "env.py", "exec")
    done = alembic(database, "check")
    assert done.returncode == 0, done.stdout + done.stderr
    run(database.execute, "DROP INDEX ix_orders_created_by")
    assert "ix_orders_created_by" in alembic(database, "check").stdout
    run(database.execute, "CREATE INDEX ix_orders_created_by ON orders (created_by)")
    run(database.execute, "ALTER TABLE orders ALTER COLUMN total TYPE numeric(10, 2)")
    assert "'total'" in alembic(database, "check").stdout


@pytest.mark.anyio
async def test_s2_item_38_a_start_creates_no_table_and_could_not(
    empty_database: Database, serve: Serve
) -> None:
    async with serve(empty_database.settings()) as client:
        assert (await client.get("/health/ready")).json()["code"] == "schema_missing"
    tables = "SELECT FROM pg_tables WHERE schemaname IN ('shop', 'public')"
    assert await empty_database.fetch(tables) == []
    engine = create_engine(empty_database.settings())
    try:
        async with engine.connect() as connection:
            with pytest.raises(ProgrammingError, match="permission denied"):
                await connection.run_sync(Base.metadata.create_all)
    finally:
        await engine.dispose()


def test_s1_item_58_lists_come_from_commas_and_the_driver_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shared_database: Database
) -> None:
    class Article(BaseSettings):
        cors_origins: list[str]

    origins = "https://a.example, https://b.example"
    monkeypatch.setenv("CORS_ORIGINS", origins)
    with pytest.raises(SettingsError):
        Article()
    (tmp_path / "secret_key").write_text(SECRET_KEY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("SHOP_ENVIRONMENT", "test")
    monkeypatch.setenv("SHOP_CORS_ORIGINS", origins)
    assert load_settings(Settings).cors_origins == ("https://a.example", "https://b.example")
    settings = shared_database.settings()
    url = database_url(settings, settings.database_user, settings.database_password)
    assert url.drivername == "postgresql+asyncpg"


def test_s1_item_87_what_a_shell_would_tear_apart_arrives_whole_and_secrets_are_files(
    database: Database, tmp_path: Path
) -> None:
    hostile = "three old words # and 'more' of them"
    (tmp_path / ".env").write_text(f"NAME={hostile}\n")
    torn = subprocess.run(
        ["/bin/sh", "-c", "export $(cat .env | grep -v '^#' | xargs) && printenv NAME"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert torn.stdout.strip() != hostile
    environ = database.environ(tmp_path / "credentials")
    run(database.execute, "ALTER ROLE shop PASSWORD '{}'".format(hostile.replace("'", "''")))
    try:
        (tmp_path / "credentials" / "database_password").write_text(hostile + "\n")
        done = run_shop("purge", environ)
        assert done.returncode == 0, done.stderr
    finally:
        run(database.execute, f"ALTER ROLE shop PASSWORD '{database.cluster.password}'")
    assert hostile not in str(environ) + done.stdout + done.stderr
    assert environ["SHOP_RELEASE"] == RELEASE
    assert (SERVICE / ".env").exists() is False
