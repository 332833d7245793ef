"""`fab migrate-history` on real servers of 14 to 17."""

from __future__ import annotations

from fabfile.database.toolbox import readings
from tests.database.toolbox_ground import Ground, ground, server

__all__ = ["ground", "server"]


def test_the_history_of_the_schema_is_what_its_migrations_wrote(ground: Ground) -> None:
    owner = ground.connect("postgres")
    owner.execute(
        """
        CREATE TABLE shop.schema_changes (revision text, down_revision text, kind text, release text,
            applied_at timestamptz DEFAULT clock_timestamp());
        GRANT USAGE ON SCHEMA shop TO slipway_ops; GRANT SELECT ON shop.schema_changes TO slipway_ops;
        INSERT INTO shop.schema_changes (revision, kind, release) VALUES ('aaaaaaaaaaa1', 'expand', 'first');
        INSERT INTO shop.schema_changes (revision, down_revision, kind, release)
            VALUES ('aaaaaaaaaaa2', 'aaaaaaaaaaa1', 'contract', E'\\x1b[2Jsecond');
        """
    )
    owner.commit()
    ops = ground.connect("slipway_ops")
    (table,) = readings.migrations(ops, 50).tables
    assert [row[1] for row in table.rows] == ["aaaaaaaaaaa2", "aaaaaaaaaaa1"]
    assert [row[2] for row in table.rows] == ["contract", "expand"]
    assert "\x1b" not in str(table.rows)
    assert len(readings.migrations(ops, 1).tables[0].rows) == 1
