"""When the service calls itself alive and ready, and why not."""

import anyio
import httpx2
import pytest
from slipway_migrator import Order, Revision

from conftest import RELEASE, Database, Serve
from shop.core import health
from shop.core.health import Readiness, revisions

pytestmark = [pytest.mark.anyio, pytest.mark.differs("what is said of a server that is gone is its own")]


@pytest.fixture
def without_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CACHE_SECONDS", 0.0)


async def assert_not_ready(client: httpx2.AsyncClient, code: str) -> dict[str, object]:
    response = await client.get("/health/ready")
    assert response.status_code == 503, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "1"
    body: dict[str, object] = response.json()
    assert body["code"] == code, body
    assert body["release"] == RELEASE
    assert body["schema_required"] == revisions().head
    return body


async def test_a_migrated_database_makes_the_service_ready(client: httpx2.AsyncClient) -> None:
    response = await client.get("/health/ready")
    assert response.status_code == 200, response.text
    head = revisions().head
    assert response.json() == {
        "status": "ready",
        "release": RELEASE,
        "schema_required": head,
        "schema_applied": head,
    }
    assert response.headers["cache-control"] == "no-store"


async def test_without_the_schema_it_is_not_ready(empty_database: Database, serve: Serve) -> None:
    async with serve(empty_database.settings()) as client:
        body = await assert_not_ready(client, "schema_missing")
        assert body["schema_applied"] is None
        assert (await client.get("/health/live")).status_code == 200


async def test_an_empty_version_table_is_a_missing_schema(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await database.execute("DELETE FROM alembic_version")
    await assert_not_ready(client, "schema_missing")


async def test_a_revision_of_another_release_is_named(client: httpx2.AsyncClient, database: Database) -> None:
    await database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    body = await assert_not_ready(client, "schema_unknown")
    assert "ffffffffffff" in str(body["message"])
    assert revisions().head in str(body["message"])
    assert body["schema_applied"] == "ffffffffffff"


async def test_an_earlier_revision_is_named(
    client: httpx2.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    readiness = client._transport.app.state.container.get(Readiness)  # type: ignore[attr-defined]
    before = Revision("000000000001", None, "expand")
    monkeypatch.setattr(readiness, "revisions", Order((before, *revisions().in_order)))
    await database.execute("UPDATE alembic_version SET version_num = '000000000001'")
    body = await assert_not_ready(client, "schema_behind")
    assert "000000000001" in str(body["message"])


RENAME = "UPDATE alembic_version SET version_num = '{0}'"
APPLY = "INSERT INTO schema_changes VALUES ('{0}', '{1}', '{2}', '20270101T000000Z-{0}')"


async def test_a_later_revision_that_only_adds_is_ready(
    client: httpx2.AsyncClient, database: Database
) -> None:
    head = revisions().head
    await database.execute(
        APPLY.format("aaaaaaaaaaa1", head, "expand"),
        APPLY.format("aaaaaaaaaaa2", "aaaaaaaaaaa1", "expand"),
        RENAME.format("aaaaaaaaaaa2"),
    )
    response = await client.get("/health/ready")
    assert response.status_code == 200, response.text
    assert response.json()["schema_required"] == head
    assert response.json()["schema_applied"] == "aaaaaaaaaaa2"
    assert (await client.get("/api/v1/products")).status_code == 200


@pytest.mark.parametrize("kinds", [("contract", "expand"), ("expand", "contract")])
async def test_a_later_revision_behind_one_that_takes_away_is_not(
    client: httpx2.AsyncClient, database: Database, kinds: tuple[str, str]
) -> None:
    await database.execute(
        APPLY.format("aaaaaaaaaaa1", revisions().head, kinds[0]),
        APPLY.format("aaaaaaaaaaa2", "aaaaaaaaaaa1", kinds[1]),
        RENAME.format("aaaaaaaaaaa2"),
    )
    body = await assert_not_ready(client, "schema_contracted")
    contracted = "aaaaaaaaaaa1" if kinds[0] == "contract" else "aaaaaaaaaaa2"
    assert f"{contracted} took away" in str(body["message"])
    assert f"start release 20270101T000000Z-{contracted} or a later one" in str(body["message"])
    assert body["schema_applied"] == "aaaaaaaaaaa2"


async def test_a_contraction_before_our_own_head_is_our_own_business(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await database.execute(
        "UPDATE schema_changes SET kind = 'contract'",
        APPLY.format("aaaaaaaaaaa1", revisions().head, "expand"),
        RENAME.format("aaaaaaaaaaa1"),
    )
    assert (await client.get("/health/ready")).status_code == 200


async def test_a_record_that_runs_in_a_circle_is_answered(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await database.execute(
        APPLY.format("aaaaaaaaaaa1", "aaaaaaaaaaa2", "expand"),
        APPLY.format("aaaaaaaaaaa2", "aaaaaaaaaaa1", "expand"),
        RENAME.format("aaaaaaaaaaa2"),
    )
    await assert_not_ready(client, "schema_unknown")


async def test_a_role_without_grants_is_told_apart(client: httpx2.AsyncClient, database: Database) -> None:
    await database.execute("REVOKE ALL ON alembic_version FROM shop")
    await assert_not_ready(client, "schema_forbidden")


@pytest.mark.usefixtures("without_cache")
async def test_a_stopped_database_is_a_503_until_it_is_back(
    client: httpx2.AsyncClient, database: Database
) -> None:
    assert (await client.get("/health/ready")).status_code == 200
    await anyio.to_thread.run_sync(database.cluster.stop)
    try:
        await assert_not_ready(client, "database_unreachable")
        response = await client.get("/api/v1/products")
        assert response.status_code == 503, response.text
        assert response.json()["code"] == "database_unreachable"
        assert response.headers["retry-after"] == "1"
        assert (await client.get("/health/live")).json() == {"status": "live", "release": RELEASE}
    finally:
        await anyio.to_thread.run_sync(database.cluster.start)
    assert (await client.get("/health/ready")).status_code == 200
    assert (await client.get("/api/v1/products")).status_code == 200


async def test_a_wrong_password_is_unreachable_and_not_shown(database: Database, serve: Serve) -> None:
    async with serve(database.settings(database_password="not-the-password")) as client:
        body = await assert_not_ready(client, "database_unreachable")
        assert "not-the-password" not in str(body)


async def test_an_answer_is_given_within_its_time(
    client: httpx2.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_TIMEOUT", 0.3)
    connection = await database.cluster.connect(database.name)
    try:
        await connection.execute("BEGIN; LOCK TABLE shop.alembic_version IN ACCESS EXCLUSIVE MODE")
        with anyio.fail_after(1.5):
            await assert_not_ready(client, "database_timeout")
    finally:
        await connection.close()


async def test_many_probes_ask_the_database_once(client: httpx2.AsyncClient, database: Database) -> None:
    count = "SELECT calls FROM probe_calls"
    await database.execute(
        "CREATE SEQUENCE probes",
        "GRANT USAGE ON SEQUENCE probes TO shop",
        "ALTER TABLE alembic_version RENAME TO applied",
        "CREATE VIEW alembic_version AS SELECT version_num FROM applied WHERE nextval('probes') > 0",
        "GRANT SELECT ON alembic_version TO shop",
        "CREATE VIEW probe_calls AS SELECT last_value AS calls FROM probes WHERE is_called",
    )
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(client.get, "/health/ready")
    assert (await client.get("/health/ready")).status_code == 200
    rows = await database.fetch(count.replace("probe_calls", "shop.probe_calls"))
    assert [row["calls"] for row in rows] == [1]


async def test_when_every_connection_is_taken_a_read_is_told_to_come_back(
    database: Database, serve: Serve
) -> None:
    settings = database.settings(database_pool_size=1, database_max_overflow=0, database_pool_timeout=0.2)
    connection = await database.cluster.connect(database.name)
    try:
        await connection.execute("BEGIN; LOCK TABLE shop.products IN ACCESS EXCLUSIVE MODE")
        answers: list[httpx2.Response] = []

        async def ask(client: httpx2.AsyncClient) -> None:
            answers.append(await client.get("/api/v1/products"))

        async with serve(settings) as client, anyio.create_task_group() as group:
            group.start_soon(ask, client)
            group.start_soon(ask, client)
        assert sorted(answer.json()["code"] for answer in answers) == ["database_busy", "lock_timeout"]
        assert {answer.status_code for answer in answers} == {503}
    finally:
        await connection.close()
