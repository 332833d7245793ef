"""A database on another host: TLS that knows whom it talks to, or no connection."""

from pathlib import Path

import pytest
import trustme

from conftest import Database, Serve
from shop.core.database import Resources

pytestmark = [pytest.mark.anyio, pytest.mark.differs("TLS is the interpreter's")]


@pytest.mark.parametrize(
    ("host", "trusted", "status"),
    [("localhost", True, 200), ("localhost", False, 503), ("127.0.0.1", True, 503)],
    ids=["right", "another authority", "another name"],
)
async def test_only_the_server_named_by_the_right_authority_is_used(
    database: Database,
    serve: Serve,
    authority: trustme.CA,
    tmp_path: Path,
    host: str,
    trusted: bool,
    status: int,
) -> None:
    file = tmp_path / "ca.pem"
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(str(file))
    async with serve(database.settings(database_host=host, database_ca=file)) as client:
        response = await client.get("/health/ready")
        assert response.status_code == status, response.text
        if status == 200:
            encrypted = await database.fetch(
                "SELECT s.ssl FROM pg_stat_ssl AS s JOIN pg_stat_activity AS a USING (pid) "
                f"WHERE a.datname = '{database.name}' AND a.usename = 'shop'"
            )
            assert [row["ssl"] for row in encrypted] == [True]
        else:
            assert response.json()["code"] == "database_unreachable"


async def test_sessions_carry_the_release_and_their_limits(database: Database, serve: Serve) -> None:
    async with serve(database.settings(database_statement_timeout=1234)) as client:
        app = client._transport.app  # type: ignore[attr-defined]
        async with app.state.container.get(Resources).reads.connect() as connection:
            names = (
                "application_name",
                "search_path",
                "jit",
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "TimeZone",
            )
            shown = [(await connection.exec_driver_sql(f"SHOW {name}")).scalar_one() for name in names]
    assert shown[0] == f"shop/{database.settings().release}"
    assert shown[1:] == ["shop", "off", "1234ms", "3s", "10s", "UTC"]
