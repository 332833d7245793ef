"""While an upgrade of PostgreSQL is prepared, the schema stays as it is, and the migrator says so before it begins."""

from collections.abc import Callable

from conftest import Database, Service

FREEZE = (
    "CREATE FUNCTION frozen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''frozen''; END'",
    "CREATE EVENT TRIGGER slipway_upgrade_changes ON ddl_command_end EXECUTE FUNCTION frozen()",
)
TABLE = 'op.create_table("notes", sa.Column("id", sa.BigInteger, primary_key=True))'
COLUMN = 'op.add_column("notes", sa.Column("title", sa.Text))'


def test_nothing_is_applied_while_an_upgrade_of_the_server_is_prepared(
    make_service: Callable[[str], Service], database: Database
) -> None:
    service = make_service("generic")
    service.revise(TABLE)
    service.run(database.environ(), "migrate")
    database.execute(*FREEZE)
    again = service.run(database.environ(), "migrate")
    service.revise(COLUMN)
    refused = service.run(database.environ(), "migrate")
    database.execute("DROP EVENT TRIGGER slipway_upgrade_changes")
    after = service.run(database.environ(), "migrate")

    assert again.result == {"from": "r1", "to": "r1"}
    assert refused.status == 1
    assert "an upgrade of PostgreSQL to another major is prepared" in refused.said
    assert after.result == {"from": "r1", "to": "r2"}
